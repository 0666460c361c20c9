using Distributed.Cli;
using Distributed.Cli.Output;
using Distributed.Cluster;

NodeServer.PreferInlineCompletions();
using var terminal = new Terminal();
return await CommandLine.RunAsync(args, terminal);
