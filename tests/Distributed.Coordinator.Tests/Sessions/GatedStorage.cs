using Orleans.Storage;

namespace Distributed.Coordinator.Tests.Sessions;

/// <summary>A grain storage in memory whose writes can be held up or made to fail, as those of a slow or broken disk are.</summary>
internal sealed class GatedStorage : IGrainStorage
{
    private readonly Dictionary<string, object?> _states = [];
    private readonly TaskCompletionSource _held = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Writes wait for this; null lets them pass.</summary>
    public Task? Gate { get; set; }

    /// <summary>Done once a write waits for the gate.</summary>
    public Task Held => _held.Task;

    /// <summary>How many writes fail before one succeeds.</summary>
    public int FailuresLeft { get; set; }

    public int Writes { get; private set; }

    public Task ReadStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        lock (_states)
        {
            if (_states.TryGetValue($"{stateName}/{grainId}", out var state))
                (grainState.State, grainState.RecordExists) = ((T)state!, true);
        }

        return Task.CompletedTask;
    }

    public async Task WriteStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        if (Gate is { } gate)
        {
            _held.TrySetResult();
            await gate;
        }

        lock (_states)
        {
            Writes++;
            if (FailuresLeft > 0)
            {
                FailuresLeft--;
                throw new IOException("the disk is broken");
            }

            _states[$"{stateName}/{grainId}"] = grainState.State;
            grainState.RecordExists = true;
        }
    }

    public Task ClearStateAsync<T>(string stateName, GrainId grainId, IGrainState<T> grainState)
    {
        lock (_states)
            _states.Remove($"{stateName}/{grainId}");
        grainState.RecordExists = false;
        return Task.CompletedTask;
    }
}
