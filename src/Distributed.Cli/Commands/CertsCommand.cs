using System.CommandLine;
using System.Globalization;
using Distributed.Cli.Output;
using Distributed.Cluster.Certificates;

namespace Distributed.Cli.Commands;

/// <summary><c>certs</c>: the cluster's CA, and certificates for its nodes.</summary>
internal sealed class CertsCommand : Command
{
    private const string DefaultFolder = "certs";

    private readonly Option<string?> _folder =
        Flag.Text("--dir", "DIR", $"Where the CA's files are, and the nodes' go (default {DefaultFolder})");

    private readonly Argument<string> _name = new("NAME")
    {
        Description = "The node: a worker as the cluster file names it, or coordinator",
    };

    private readonly Option<int?> _days = Flag.Whole(
        "--days", $"How long it is good for (default {CertificateAuthority.DefaultDays})", 1, CertificateAuthority.MaxDays);

    private readonly Option<string[]> _addresses = new("--address")
    {
        HelpName = "HOST",
        Description = "A host name or IP address for HTTP clients that connect to it; may be given again. Between nodes the name alone counts",
    };

    private readonly Terminal _terminal;

    public CertsCommand(Terminal terminal)
        : base("certs", "Make the cluster's CA, and certificates for its nodes")
    {
        _terminal = terminal;
        var init = new Command("init", "Make the cluster's CA, once") { _folder };
        init.SetAction(Init);
        var issue = new Command("issue", "Make a node's certificate and key, signed by the CA") { _name, _folder, _days, _addresses };
        issue.SetAction(Issue);
        Add(init);
        Add(issue);
    }

    private int Init(ParseResult flags)
    {
        var folder = FolderOf(flags);
        CertificateAuthority.Init(folder);
        Tell(folder, CertificateFiles.Ca);
        _terminal.Error.WriteLine("keep ca.key: who has it can make members; other machines need ca.crt only");
        return ExitCode.Done;
    }

    private int Issue(ParseResult flags)
    {
        var (folder, name) = (FolderOf(flags), flags.GetValue(_name)!);
        var until = CertificateAuthority.Issue(
            folder, name, flags.GetValue(_days) ?? CertificateAuthority.DefaultDays, flags.GetValue(_addresses) ?? []);
        Tell(folder, name);
        _terminal.Error.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"good until {until:yyyy-MM-dd}; {name} needs these two and {CertificateFiles.Certificate(folder, CertificateFiles.Ca)} in its --tls-dir"));
        return ExitCode.Done;
    }

    private string FolderOf(ParseResult flags) => flags.GetValue(_folder) ?? DefaultFolder;

    private void Tell(string folder, string name)
    {
        _terminal.Out.WriteLine(CertificateFiles.Certificate(folder, name));
        _terminal.Out.WriteLine(CertificateFiles.Key(folder, name));
    }
}
