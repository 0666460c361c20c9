using Distributed.Cluster.Config;
using Distributed.Cluster.Links;
using Distributed.Core;

namespace Distributed.Cluster.Tests.Config;

public class ClusterFileTests
{
    private const string Minimal = """
        model: model.gguf
        workers:
          - { name: a, address: 127.0.0.1:7101 }
          - { name: b, address: 127.0.0.1:7102 }
        """;

    [Fact]
    public void What_is_not_written_has_its_default()
    {
        var config = Parse(Minimal);
        Assert.Equal("/clusters/model.gguf", config.Model);
        Assert.Null(config.Context);
        Assert.Equal(KvType.F16, config.KvType);
        Assert.Equal(256, config.MaxBatchTokens);
        Assert.Equal(4, config.Sequences);
        Assert.Equal(64, config.MaxWaiting);
        Assert.Equal(WireType.F32, config.Wire);
        Assert.Null(config.Link);
        Assert.Equal("127.0.0.1:8080", config.Http.ToString());
        Assert.Equal(TimeSpan.FromSeconds(10), config.ConnectTimeout);
        Assert.Equal((4 << 20, null, 256, 10), (config.MaxBody, config.MaxPrompt, config.MaxRequests, config.HeaderTimeout.TotalSeconds));
        Assert.False(config.Insecure);
        Assert.Null(config.Tls ?? (object?)config.ApiKeyFile ?? config.HttpCertificate);
        Assert.Null(config.Split);
        Assert.All(config.Workers, worker => Assert.Null(worker.Devices));
        Assert.All(config.Workers, worker => Assert.Empty(worker.Memory));
        Assert.All(config.Workers, worker => Assert.Null(worker.Model));
    }

    [Fact]
    public void Every_key_reaches_its_property()
    {
        var config = Parse("""
            model: /models/m.gguf
            context: 2048
            kv-type: q8_0
            max-batch-tokens: 128
            sequences: 2
            max-waiting: 0
            wire: q8_0
            link: delay=1ms,rate=1Gbit
            http: "[::1]:9000"
            connect-timeout: 1.5s
            failure-timeout: 500ms
            recovery-timeout: 2m
            api-key-file: keys
            http-certificate: http.crt
            http-key: /keys/http.key
            max-body: 1MiB
            max-prompt: 100
            max-requests: 8
            header-timeout: 1s
            lease: 5m
            data: data
            state: { provider: sqlite, connection: state/c.db }
            tls: { ca: ca.crt, certificate: me.crt, key: /keys/me.key }
            workers:
              - name: desktop
                address: Desktop.local:7100
                devices: [cuda:0, cpu]
                memory: { cuda:0: 10GiB, cpu: 1.5 GiB }
                model: data/m.gguf
                link: rate=100Mbit
              - name: mini
                address: unix:/run/mini.sock
            split:
              - { worker: mini, layers: 5 }
              - { worker: desktop, device: cuda:0, layers: 0-4 }
            """);
        Assert.Equal("/models/m.gguf", config.Model);
        Assert.Equal(2048, config.Context);
        Assert.Equal(KvType.Q8_0, config.KvType);
        Assert.Equal(128, config.MaxBatchTokens);
        Assert.Equal(2, config.Sequences);
        Assert.Equal(0, config.MaxWaiting);
        Assert.Equal(WireType.Q8_0, config.Wire);
        Assert.Equal((TimeSpan.FromMilliseconds(1), 1_000_000_000), (config.Link!.Delay, config.Link.BitsPerSecond));
        Assert.Equal(config.Link, config.LinkOf("mini"));
        Assert.Equal((TimeSpan.Zero, 100_000_000), (config.LinkOf("desktop")!.Delay, config.LinkOf("desktop")!.BitsPerSecond));
        Assert.Equal(config.LinkOf("desktop"), config.LinkBetween("mini", "desktop"));
        Assert.Equal(("::1", 9000), (config.Http.Host, config.Http.Port));
        Assert.Equal(TimeSpan.FromSeconds(1.5), config.ConnectTimeout);
        Assert.Equal(TimeSpan.FromSeconds(0.5), config.FailureTimeout);
        Assert.Equal(TimeSpan.FromMinutes(2), config.RecoveryTimeout);
        Assert.Equal(("/clusters/keys", "/clusters/http.crt", "/keys/http.key"), (config.ApiKeyFile, config.HttpCertificate, config.HttpKey));
        Assert.Equal((1 << 20, 100, 8, 1), (config.MaxBody, config.MaxPrompt, config.MaxRequests, config.HeaderTimeout.TotalSeconds));
        Assert.Equal(("/clusters/ca.crt", "/clusters/me.crt", "/keys/me.key"), (config.Tls!.Ca, config.Tls.Certificate, config.Tls.Key));
        Assert.Equal((TimeSpan.FromMinutes(5), "/clusters/data"), (config.Lease, config.Data));
        Assert.Equal(new StateConfig { Provider = StateProvider.Sqlite, Connection = "/clusters/state/c.db" }, config.State);
        Assert.Equal("desktop", config.Workers[0].Name);
        Assert.Equal("Desktop.local:7100", config.Workers[0].Address.ToString());
        Assert.Equal(["cuda:0", "cpu"], config.Workers[0].Devices);
        Assert.Equal(10L << 30, config.Workers[0].Memory["cuda:0"]);
        Assert.Equal(3L << 29, config.Workers[0].Memory["cpu"]);
        Assert.Equal("data/m.gguf", config.Workers[0].Model);
        Assert.Equal("/run/mini.sock", config.Workers[1].Address.SocketPath);
        Assert.Equal(new SplitConfig { Worker = "mini", Layers = new LayerRange(5, 5) }, config.Split![0]);
        Assert.Equal(new SplitConfig { Worker = "desktop", Device = "cuda:0", Layers = new LayerRange(0, 4) }, config.Split[1]);
    }

    [Fact]
    public void Plain_text_to_other_machines_and_HTTP_for_them_without_a_key_are_refused_unless_spelled_out()
    {
        const string Far = "model: m.gguf\nhttp: 0.0.0.0:80\nworkers: [{ name: a, address: '192.0.2.1:1' }]\n";
        var errors = Errors(Far).Select(error => error.ToString()).ToList();

        Assert.Equal(2, errors.Count);
        Assert.StartsWith("c.yaml:2: http is 0.0.0.0:80: is for other machines too: give api-key-file", errors[0], StringComparison.Ordinal);
        Assert.StartsWith("c.yaml:3: workers[0].address is 192.0.2.1:1: is not on this machine: give certificates", errors[1], StringComparison.Ordinal);
        Assert.True(Parse(Far + "insecure: true").Insecure);
        Assert.NotNull(Parse(Far + "api-key-file: k\ntls: { ca: a, certificate: b, key: c }").Tls);
        Assert.Equal("c.yaml:4: tls.key: is missing", Assert.Single(Errors(Far + "tls: { ca: a, certificate: b }\napi-key-file: k")).ToString());
        Assert.Equal("c.yaml:1: http-key: is missing: a certificate and its key go together", Assert.Single(Errors(Minimal + "\nhttp-certificate: a")).ToString());
    }

    [Fact]
    public void Rules_of_the_state_are_told_without_its_connection_which_may_have_a_password()
    {
        var errors = Errors(Minimal + "\nstate: { provider: memory, connection: \"Password=hidden\\0\" }\nlease: 100ms").Select(error => error.ToString()).ToList();

        Assert.Equal(3, errors.Count);
        Assert.Contains(errors, error => error.EndsWith("state.connection: means nothing to state in memory", StringComparison.Ordinal));
        Assert.Contains(errors, error => error.EndsWith("lease is 0.1 s: must lie between 1s and 24h", StringComparison.Ordinal));
        Assert.DoesNotContain(errors, error => error.Contains("hidden", StringComparison.Ordinal));
        Assert.EndsWith(
            "state.connection: is missing: PostgreSQL is reached by a connection string",
            Assert.Single(Errors(Minimal + "\nstate: { provider: postgresql }")).ToString(), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("silo: 127.0.0.1", "state.silo is 127.0.0.1:0: is for several coordinators, which takes provider: postgresql")]
    [InlineData("provider: postgresql, connection: Host=x, silo: 192.168.1.10", "state.silo is 192.168.1.10:0: is not on this machine")]
    [InlineData("provider: postgresql, connection: Host=x, silo: \"unix:/run/s.sock\"", "state.silo is unix:/run/s.sock: must be HOST or HOST:PORT")]
    [InlineData("provider: postgresql, connection: Host=x, cluster: a/b", "state.cluster is a/b: must be 1 to 63 letters")]
    public void What_several_coordinators_need_is_checked(string state, string told) =>
        Assert.Contains(told, Assert.Single(Errors($"{Minimal}\nstate: {{ {state} }}")).ToString(), StringComparison.Ordinal);

    [Fact]
    public void All_errors_are_reported_at_once_each_with_its_line()
    {
        var errors = Errors("""
            modle: model.gguf
            context: lots
            sequences: 0
            sequences: 3
            wire: bf16
            kv-type: f8
            http: unix:/run/http.sock
            workers:
              - name: one
                address: 127.0.0.1
                memory: { cpu: 8 }
              - name: two
                address: 127.0.0.1:7102
                devices: [cpu, cpu, gpu]
              - name: two
                address: 127.0.0.1:7102
              - address: 0.0.0.0:7104
                memory: { cuda:0: 8GiB }
                devices: [cpu]
            split:
              - { worker: one, layers: 1-3 }
              - { worker: two, device: cpu, layers: 9-8 }
              - one
            """);
        Assert.Equal(
            [
                "c.yaml:1: modle: is not a known key: did you mean model?",
                "c.yaml:1: model: is missing",
                "c.yaml:2: context is lots: must be a whole number",
                "c.yaml:3: sequences is 0: must lie between 1 and 1024",
                "c.yaml:4: sequences: is given twice, first in line 3",
                "c.yaml:5: wire is bf16: must be one of f32, f16, q8_0",
                "c.yaml:6: kv-type is f8: must be one of f32, f16, q8_0",
                "c.yaml:7: http is unix:/run/http.sock: must be HOST:PORT",
                $"c.yaml:10: workers[0].address is 127.0.0.1: {NodeAddress.Rule}",
                $"c.yaml:11: workers[0].memory.cpu is 8: {ByteSize.Rule}",
                "c.yaml:14: workers[1].devices[1] is cpu: is given twice",
                "c.yaml:14: workers[1].devices[2] is gpu: must be cpu, cuda:N, opencl:N or ilgpu-cpu",
                "c.yaml:15: workers[2].name is two: is already that of workers[1]: names must differ",
                "c.yaml:16: workers[2].address is 127.0.0.1:7102: is already that of workers[1]: addresses must differ",
                "c.yaml:17: workers[3].name: is missing",
                "c.yaml:17: workers[3].address is 0.0.0.0:7104: must be an address that other machines can connect to",
                "c.yaml:18: workers[3].memory.cuda:0: is none of the worker's devices: cpu",
                $"c.yaml:22: split[1].layers is 9-8: {LayerRange.Rule}",
                "c.yaml:23: split[2] is one: must have keys with values: worker, device, layers",
            ],
            errors.Select(error => error.ToString()));
    }

    [Fact]
    public void A_split_is_judged_against_the_workers_and_itself()
    {
        var errors = Errors("""
            model: m.gguf
            workers:
              - { name: one, address: 127.0.0.1:7101 }
              - { name: two, address: 127.0.0.1:7102, devices: [cpu, cuda:0] }
            split:
              - { worker: one, layers: 1-3 }
              - { worker: tow, layers: 3-4 }
              - { worker: two, layers: 6 }
              - { worker: two, device: opencl:0, layers: 7-9 }
            """);
        Assert.Equal(
            [
                "c.yaml:6: split[0].layers is 1-3: leaves out layer 0 before it",
                "c.yaml:7: split[1].worker is tow: is no worker of this cluster: did you mean two?",
                "c.yaml:7: split[1].layers is 3-4: overlaps another stage in layer 3",
                "c.yaml:8: split[2].device: is missing: two has cpu, cuda:0",
                "c.yaml:8: split[2].layers is 6: leaves out layer 5 before it",
                "c.yaml:9: split[3].device is opencl:0: is not a device of two, which has cpu, cuda:0",
            ],
            errors.Select(error => error.ToString()));
    }

    [Theory]
    [InlineData("")]
    [InlineData("# nothing but a comment")]
    [InlineData("just text")]
    [InlineData("- a\n- list")]
    [InlineData("model: m.gguf\nworkers: []")]
    [InlineData("model: m.gguf\nworkers:")]
    [InlineData("model: m.gguf\nworkers: one")]
    [InlineData("model: m.gguf\nworkers: [one, 2, [3]]")]
    [InlineData("model: [m.gguf]\nworkers: [{name: a, address: '127.0.0.1:1'}]")]
    [InlineData("model: m.gguf\nworkers: [{name: a, address: '127.0.0.1:1'}]\nsplit: []")]
    [InlineData("model: m.gguf\nworkers: [{name: a, address: '127.0.0.1:1'}]\nsplit: automatic")]
    [InlineData("model: \"m\\0.gguf\"\nworkers: [{name: a, address: '127.0.0.1:1'}]")]
    [InlineData("model: m.gguf\nworkers: [{name: a, address: '127.0.0.1:1'}]\ncontext: 99999999999")]
    [InlineData("model: m.gguf\nworkers: [{name: a, address: '127.0.0.1:1'}]\ncontext: ~")]
    [InlineData("model: m.gguf\nworkers: [{name: a, address: '127.0.0.1:1', memory: {cpu: [1]}}]")]
    [InlineData("model: m.gguf\n\tworkers: x")]
    [InlineData("model: \"m.gguf")]
    [InlineData("model: m.gguf\n---\nmodel: n.gguf")]
    [InlineData("model: &m m.gguf\nworkers: [{name: a, address: '127.0.0.1:1', model: *m}]")]
    [InlineData("model: !!python/object m.gguf")]
    [InlineData("? [model]\n: m.gguf")]
    public void What_is_no_cluster_is_refused_with_a_line(string yaml) => Assert.All(Errors(yaml), error =>
    {
        Assert.Equal("c.yaml", error.Source);
        Assert.InRange(error.Line ?? 0, 1, yaml.Count(c => c == '\n') + 1);
    });

    [Fact]
    public void Relative_model_paths_count_from_the_files_folder()
    {
        var folder = Directory.CreateTempSubdirectory();
        try
        {
            var path = Path.Combine(folder.FullName, "cluster.yaml");
            File.WriteAllText(path, Minimal.Replace("model.gguf", "../models/m.gguf", StringComparison.Ordinal));
            Assert.Equal(Path.GetFullPath(Path.Combine(folder.FullName, "../models/m.gguf")), ClusterFile.Load(path).Model);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public void A_missing_file_is_refused() =>
        Assert.Equal(
            "cluster is /no/such/cluster.yaml: does not exist",
            Assert.Throws<InvalidInputException>(() => ClusterFile.Load("/no/such/cluster.yaml")).Message);

    [Fact]
    public void Flags_override_and_their_errors_name_the_flag()
    {
        var flags = Flags(("context", "2048"), ("kv-type", "f32"), ("model", "x.gguf"));
        var config = ClusterFile.Override(Parse(Minimal + "\ncontext: 100"), flags);
        Assert.Equal((2048, KvType.F32), (config.Context, config.KvType));
        Assert.Equal(Path.GetFullPath("x.gguf"), config.Model);
        Assert.Equal("--context is 2048: too long", config.Error("context", config.Context, "too long").ToString());
        Assert.Equal("c.yaml:3: workers[0].name is a: no", config.Error("workers[0].name", "a", "no").ToString());

        var error = Assert.Throws<InvalidInputException>(
            () => ClusterFile.Override(config, Flags(("context", "0"), ("sequences", "many"), ("wire", "q9"), ("link", "fast"))));
        Assert.Equal(
            [
                "--sequences is many: must be a whole number",
                "--wire is q9: must be one of f32, f16, q8_0",
                $"--link is fast: {LinkShape.Rule}",
                "--context is 0: must lie between 1 and 16777216",
            ],
            error.Errors.Select(one => one.ToString()));
        Assert.Throws<ArgumentException>(() => ClusterFile.Override(config, Flags(("workers", "3"))));
    }

    private static Dictionary<string, string> Flags(params (string Name, string Value)[] flags) =>
        flags.ToDictionary(flag => flag.Name, flag => flag.Value);

    private static ClusterConfig Parse(string yaml) => ClusterFile.Parse(yaml, "c.yaml", "/clusters");

    private static IReadOnlyList<InputError> Errors(string yaml) => Assert.Throws<InvalidInputException>(() => Parse(yaml)).Errors;
}
