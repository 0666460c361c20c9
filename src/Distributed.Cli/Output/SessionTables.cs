using Distributed.Coordinator.Api;

namespace Distributed.Cli.Output;

/// <summary>A coordinator's sessions for people.</summary>
internal static class SessionTables
{
    /// <summary>Prints all of it to stdout.</summary>
    public static void Print(Terminal terminal, ClusterSessions sessions)
    {
        var table = Tables.Create(
            "session", "state", ">reserved", ">stage", "worker", "device", ">layers", ">tokens", ">blocks", ">shared", ">bytes");
        foreach (var session in sessions.Sessions)
        {
            var name = Printable.Line(session.Id ?? $"sequence {session.Sequence}");
            if (session.Stages.Count == 0)
                table.Line(name, session.State, $"{session.ReservedBlocks}", "-", "-", "-", "-", "0", "0", "0", Units.Bytes(0));
            foreach (var held in session.Stages)
            {
                var stage = sessions.Stages.First(one => one.Stage == held.Stage);
                table.Line(
                    name, session.State, $"{session.ReservedBlocks}", $"{held.Stage}", stage.Worker, stage.Device, Layers(stage),
                    $"{held.Tokens}", $"{held.Blocks}", $"{held.SharedBlocks}", Units.Bytes(held.Bytes));
            }
        }

        var stages = Tables.Create(">stage", "worker", "device", ">layers", ">blocks", ">used", ">bytes");
        foreach (var stage in sessions.Stages)
        {
            stages.Line(
                $"{stage.Stage}", stage.Worker, stage.Device, Layers(stage), $"{stage.Blocks}", $"{stage.UsedBlocks}",
                Units.Bytes(stage.UsedBytes));
        }

        terminal.OutConsole.Section($"sessions in epoch {sessions.Epoch}", table);
        terminal.OutConsole.Section("KV cache in all; what is shared counts once", stages);
    }

    private static string Layers(StageKvStatus stage) =>
        stage.EndLayer > stage.FirstLayer ? $"{stage.FirstLayer}-{stage.EndLayer - 1}" : "-";
}
