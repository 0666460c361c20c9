using System.Diagnostics;
using Npgsql;

namespace Distributed.Coordinator.State;

/// <summary>The coordinator that leads.</summary>
/// <param name="Term">Its term: rises with every one that leads.</param>
/// <param name="Url">Where it serves HTTP.</param>
/// <param name="Gone">Cancelled when another one leads: nothing that it has been asked is to be waited for.</param>
internal sealed record Leader(long Term, string Url, CancellationToken Gone);

/// <summary>
/// Who of several coordinators leads: whoever's connection to PostgreSQL holds an advisory lock. The lock is free the moment that the
/// process or its connection ends. One that hangs, or whose machine is gone, shows no sign of life: after <see cref="Stale"/>, by the
/// database's clock, another one has the database end its connection. A term, one higher with every leader, is what workers go by.
/// </summary>
internal sealed class LeaderLock : IAsyncDisposable
{
    /// <summary>How long a leader may give no sign of life.</summary>
    public static readonly TimeSpan Stale = TimeSpan.FromSeconds(5);

    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(250);

    // Of this program's own among all locks of the database; the other half is the cluster's name.
    private const int LockClass = 1684632436;

    private const string Lock = $"""
        SELECT pid FROM pg_locks
        WHERE locktype = 'advisory' AND granted AND classid::bigint = 1684632436 AND objid::bigint = (hashtext(@cluster)::bigint & 4294967295)
            AND objsubid = 2 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
        """;

    private readonly string _connectionString;
    private readonly string _cluster;
    private readonly TimeSpan _patience;
    private readonly SemaphoreSlim _turn = new(1);
    private readonly CancellationTokenSource _stop = new();
    private readonly TaskCompletionSource<string> _lost = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private NpgsqlConnection? _connection;
    private Task _beating = Task.CompletedTask;
    private long _term;
    private CancellationTokenSource _gone = new();

    /// <param name="connectionString">The database.</param>
    /// <param name="cluster">The cluster's name in it.</param>
    /// <param name="patience">How long a leader goes on while the database does not answer.</param>
    public LeaderLock(string connectionString, string cluster, TimeSpan patience)
    {
        _connectionString = new NpgsqlConnectionStringBuilder(connectionString) { Pooling = false, Timeout = 3, CommandTimeout = 3 }.ToString();
        (_cluster, _patience) = (cluster, patience);
    }

    /// <summary>Who was last seen to lead; null where nobody has led yet.</summary>
    public Leader? Current { get; private set; }

    /// <summary>Completes when this coordinator leads no more, with the reason.</summary>
    public Task<string> Lost => _lost.Task;

    /// <summary>Waits until this coordinator leads.</summary>
    /// <param name="url">Where it serves HTTP.</param>
    /// <param name="silo">Its silo, as text.</param>
    /// <param name="seen">Told of another one that leads, whenever that is another than before.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The term, and the silo of the leader before; null where there was none.</returns>
    public async Task<(long Term, string? Before)> LeadAsync(string url, string silo, Action<Leader>? seen, CancellationToken cancellation)
    {
        while (true)
        {
            try
            {
                if (await TryLockAsync(cancellation))
                {
                    var before = await TakeAsync(url, silo, cancellation);
                    await SeeAsync(_term, url);
                    _beating = Task.Run(BeatAsync, CancellationToken.None);
                    return (_term, before);
                }

                var last = Current;
                await LookAsync(cancellation);
                if (Current is { } leader && leader != last)
                    seen?.Invoke(leader);
            }
            catch (Exception error) when (IsAway(error))
            {
                await DropAsync();
            }

            await Task.Delay(Interval, cancellation);
        }
    }

    /// <summary>Makes sure that this coordinator still leads.</summary>
    /// <exception cref="IOException">It does not, or nobody can tell.</exception>
    public async Task ConfirmAsync(CancellationToken cancellation)
    {
        try
        {
            if (!await CheckAsync(cancellation))
                throw new IOException("another coordinator leads now");
        }
        catch (Exception error) when (IsAway(error))
        {
            throw new IOException($"the database cannot be asked whether this coordinator still leads: {error.Message}", error);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _beating;
        await DropAsync();
        _turn.Dispose();
        _stop.Dispose();
        _gone.Dispose();
    }

    private async Task BeatAsync()
    {
        // Counted from the first call that failed: a process that was stopped for a while must ask once before it judges.
        long? since = null;
        while (!_lost.Task.IsCompleted)
        {
            try
            {
                await Task.Delay(Interval, _stop.Token);
                await CheckAsync(_stop.Token);
                since = null;
            }
            catch (OperationCanceledException)
            {
                return;
            }
            catch (Exception error) when (IsAway(error))
            {
                since ??= Stopwatch.GetTimestamp();
                if (Stopwatch.GetElapsedTime(since.Value) > _patience)
                    _lost.TrySetResult($"the database has not answered for {_patience.TotalSeconds:0} s: {error.Message}");
            }
        }
    }

    // The connection may have been lost without anybody having led since: then the lock is taken again, and the term goes on.
    private async Task<bool> CheckAsync(CancellationToken cancellation)
    {
        await _turn.WaitAsync(cancellation);
        try
        {
            if (_connection is null && !await TryLockAsync(cancellation))
            {
                await LookAsync(cancellation);
                if (Current!.Term == _term)
                    throw new TimeoutException("the lock is held by a connection that is not known to have ended");
            }
            else
            {
                await using var beat = Command("UPDATE coordinator_leader SET beat = now() WHERE cluster = @cluster AND term = @term");
                beat.Parameters.AddWithValue("term", _term);
                if (await beat.ExecuteNonQueryAsync(cancellation) == 1)
                    return true;
                await LookAsync(cancellation);
            }

            _lost.TrySetResult($"the one on {Current?.Url} leads now, in term {Current?.Term}");
            return false;
        }
        catch
        {
            await DropAsync();
            throw;
        }
        finally
        {
            _turn.Release();
        }
    }

    private async Task<bool> TryLockAsync(CancellationToken cancellation)
    {
        if (_connection is null)
        {
            var connection = new NpgsqlConnection(_connectionString);
            try
            {
                await connection.OpenAsync(cancellation);
            }
            catch
            {
                await connection.DisposeAsync();
                throw;
            }

            _connection = connection;
        }

        await using var command = Command($"SELECT pg_try_advisory_lock({LockClass}, hashtext(@cluster))");
        return (bool)(await command.ExecuteScalarAsync(cancellation))!;
    }

    private async Task<string?> TakeAsync(string url, string silo, CancellationToken cancellation)
    {
        await using var take = Command("""
            WITH before AS (SELECT silo FROM coordinator_leader WHERE cluster = @cluster)
            INSERT INTO coordinator_leader AS held (cluster, term, url, silo, beat) VALUES (@cluster, 1, @url, @silo, now())
            ON CONFLICT (cluster) DO UPDATE SET term = held.term + 1, url = excluded.url, silo = excluded.silo, beat = excluded.beat
            RETURNING term, (SELECT silo FROM before)
            """);
        take.Parameters.AddWithValue("url", url);
        take.Parameters.AddWithValue("silo", silo);
        await using var row = await take.ExecuteReaderAsync(cancellation);
        await row.ReadAsync(cancellation);
        _term = row.GetInt64(0);
        return row.IsDBNull(1) ? null : row.GetString(1);
    }

    // Whoever holds the lock without a sign of life is parted from it.
    private async Task LookAsync(CancellationToken cancellation)
    {
        await using (var look = Command("SELECT term, url, beat < now() - @stale FROM coordinator_leader WHERE cluster = @cluster"))
        {
            look.Parameters.AddWithValue("stale", Stale);
            await using var row = await look.ExecuteReaderAsync(cancellation);
            if (!await row.ReadAsync(cancellation))
                return;
            await SeeAsync(row.GetInt64(0), row.GetString(1));
            if (!row.GetBoolean(2))
                return;
        }

        await using var end = Command($"SELECT pg_terminate_backend(pid) FROM ({Lock}) AS holder WHERE pid <> pg_backend_pid()");
        await end.ExecuteNonQueryAsync(cancellation);
    }

    private async Task SeeAsync(long term, string url)
    {
        if (Current?.Term == term)
            return;
        var gone = _gone;
        _gone = new CancellationTokenSource();
        Current = new Leader(term, url, _gone.Token);
        await gone.CancelAsync();
        gone.Dispose();
    }

    private NpgsqlCommand Command(string text)
    {
        var command = _connection!.CreateCommand();
        command.CommandText = text;
        if (text.Contains("@cluster", StringComparison.Ordinal))
            command.Parameters.AddWithValue("cluster", _cluster);
        return command;
    }

    private async Task DropAsync()
    {
        if (Interlocked.Exchange(ref _connection, null) is not { } connection)
            return;
        try
        {
            await connection.DisposeAsync();
        }
        catch (Exception error) when (IsAway(error))
        {
            // It is of no use any more.
        }
    }

    private static bool IsAway(Exception error) =>
        error is NpgsqlException or TimeoutException or IOException or System.Net.Sockets.SocketException or InvalidOperationException;
}
