using ILGPU;

namespace Distributed.Gpu.Kernels;

/// <summary>Choices of experts, a token's one after the other, the highest score first.</summary>
public static class ExpertKernels
{
    /// <summary>Chooses for each token: a thread for each.</summary>
    /// <param name="index">The token.</param>
    /// <param name="scores">[tokens, experts]</param>
    /// <param name="chosen">[tokens, perToken]: gets the experts.</param>
    /// <param name="weights">[tokens, perToken]: gets their weights.</param>
    /// <param name="experts">Experts to choose from.</param>
    /// <param name="perToken">Experts that each token goes to.</param>
    /// <param name="overChosen">Not 0: the weights' softmax runs over the chosen experts alone.</param>
    [Kernel]
    public static void Choose(
        Index1D index, ArrayView<float> scores, ArrayView<int> chosen, ArrayView<float> weights, int experts, int perToken, int overChosen)
    {
        int token = index;
        var first = (long)token * experts;
        var at = (long)token * perToken;
        var (last, lastScore) = (-1, float.PositiveInfinity);
        var sum = 0f;
        var highest = 0f;
        for (var rank = 0; rank < perToken; rank++)
        {
            // The best of those that come behind the last one: with a lower score, or an equal one and a higher number.
            var best = -1;
            var bestScore = float.NegativeInfinity;
            for (var expert = 0; expert < experts; expert++)
            {
                var score = scores[first + expert];
                var isBehind = rank == 0 || score < lastScore || (score == lastScore && expert > last);
                if (isBehind && (best < 0 || score > bestScore))
                    (best, bestScore) = (expert, score);
            }
            // Scores that are no numbers order nothing; the expert only has to be one there is.
            if (best < 0)
                (best, bestScore) = (rank, lastScore);
            if (rank == 0)
                highest = bestScore;
            chosen[at + rank] = best;
            var weight = DeviceMath.Exp(bestScore - highest);
            weights[at + rank] = weight;
            sum += weight;
            (last, lastScore) = (best, bestScore);
        }
        if (overChosen == 0)
        {
            sum = 0;
            for (var expert = 0; expert < experts; expert++)
                sum += DeviceMath.Exp(scores[first + expert] - highest);
        }
        for (var rank = 0; rank < perToken; rank++)
            weights[at + rank] /= sum;
    }

    /// <summary>Sorts choices by expert and cuts each expert's into tiles: one group for all.</summary>
    /// <param name="chosen">The expert of each choice.</param>
    /// <param name="order">Gets all choices, expert by expert; of one expert in the order they come in.</param>
    /// <param name="tiles">Gets of each tile the expert, the first choice in that order, how many; −1 where there is none.</param>
    /// <param name="counts">[experts]: room for how many choices each has.</param>
    /// <param name="choices">How many there are.</param>
    /// <param name="experts">Experts.</param>
    /// <param name="tileSize">The most choices of a tile.</param>
    /// <param name="tileCount">Tiles there is room for, at least choices / tileSize + experts.</param>
    [Kernel]
    public static void Group(
        ArrayView<int> chosen, ArrayView<int> order, ArrayView<int> tiles, ArrayView<int> counts, int choices, int experts, int tileSize,
        int tileCount)
    {
        for (var expert = ILGPU.Group.IdxX; expert < experts; expert += ILGPU.Group.DimX)
        {
            var (before, own) = (0, 0);
            for (var choice = 0; choice < choices; choice++)
                before += chosen[choice] < expert ? 1 : 0;
            for (var choice = 0; choice < choices; choice++)
            {
                if (chosen[choice] == expert)
                    order[before + own++] = choice;
            }
            counts[expert] = own;
        }
        ILGPU.Group.Barrier();
        for (var expert = ILGPU.Group.IdxX; expert < experts; expert += ILGPU.Group.DimX)
        {
            var (first, tile) = (0, 0);
            for (var other = 0; other < expert; other++)
            {
                first += counts[other];
                tile += (counts[other] + tileSize - 1) / tileSize;
            }
            for (var done = 0; done < counts[expert]; done += tileSize)
            {
                tiles[3 * tile] = expert;
                tiles[(3 * tile) + 1] = first + done;
                tiles[(3 * tile) + 2] = Math.Min(tileSize, counts[expert] - done);
                tile++;
            }
            if (expert != experts - 1)
                continue;
            for (; tile < tileCount; tile++)
                tiles[3 * tile] = -1;
        }
    }

    /// <summary>values[choice] += bias[its expert]: a thread for each value.</summary>
    [Kernel]
    public static void AddBias(Index1D i, ArrayView<float> values, ArrayView<int> chosen, ArrayView<float> bias, int columns) =>
        values[i] += bias[((long)chosen[i / columns] * columns) + (i % columns)];

    /// <summary>residual[token] += the weighted sum over the token's choices, in order: a thread for each value.</summary>
    [Kernel]
    public static void Add(
        Index1D i, ArrayView<float> values, ArrayView<float> weights, ArrayView<float> residual, int columns, int perToken)
    {
        int token = i / columns;
        var first = (long)token * perToken;
        var sum = residual[i];
        for (var rank = 0; rank < perToken; rank++)
            sum += weights[first + rank] * values[((first + rank) * columns) + (i % columns)];
        residual[i] = sum;
    }
}
