using Distributed.Cli;
using Distributed.Cli.Output;

using var terminal = new Terminal();
return await CommandLine.RunAsync(args, terminal);
