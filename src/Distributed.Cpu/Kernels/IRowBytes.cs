namespace Distributed.Cpu.Kernels;

/// <summary>
/// Sixteen bytes of each of some rows of weights, in four registers as they come: 128 bits of a row beside 128 bits of every fourth
/// row from there. What a type does to its bytes it does to all of them alike; they are rearranged when they are stored in a panel, or
/// not at all. Four registers in one value, since the runtime's compiler gives up on methods that are made of too many small ones.
/// </summary>
/// <typeparam name="T">The implementing type.</typeparam>
internal unsafe interface IRowBytes<T>
    where T : struct, IRowBytes<T>
{
    /// <summary>Rows.</summary>
    static abstract int Rows { get; }

    /// <summary>Sixteen bytes of each row.</summary>
    /// <param name="rows">Where the first row's bytes are.</param>
    /// <param name="stride">Bytes from a row to the next, at least sixteen with more than one row.</param>
    static abstract T Load(byte* rows, long stride);

    /// <summary>One bit for each of sixteen columns: bytes of 0 or 255.</summary>
    /// <param name="rows">Where the first row's 32 bits are; at least sixteen bytes can be read from there.</param>
    /// <param name="stride">Bytes from a row to the next.</param>
    /// <param name="half">0 for the lower sixteen bits, 1 for the upper.</param>
    static abstract T LoadBits(byte* rows, long stride, int half);

    static abstract T operator &(T left, byte mask);

    static abstract T operator |(T left, T right);

    static abstract T operator ^(T left, byte mask);

    /// <summary>Shifts each four bytes as one 32-bit number.</summary>
    static abstract T operator <<(T value, int bits);

    /// <summary>Shifts each four bytes as one unsigned 32-bit number.</summary>
    static abstract T operator >>(T value, int bits);

    /// <summary><paramref name="value"/> where a bit is set, 0 elsewhere.</summary>
    static abstract T Select(T bytes, byte bit, byte value);

    /// <summary>table[byte] for bytes below 16.</summary>
    static abstract T Lookup(T indices, byte* table);

    /// <summary>Writes the numbers of sixteen columns to a <see cref="WeightPanel"/>, four columns of all rows side by side.</summary>
    static abstract void Store(T value, byte* numbers);
}

/// <summary>
/// Registers whose bytes are multiplied as they come, for one token. <typeparamref name="T"/> is the bytes,
/// <typeparamref name="TSums"/> one register with a sum for each row.
/// </summary>
internal unsafe interface IRowProducts<T, TSums> : IRowBytes<T>
    where T : struct, IRowProducts<T, TSums>
    where TSums : struct
{
    /// <summary>Sums of two neighbouring products in 16 bits.</summary>
    /// <param name="numbers">Sixteen columns.</param>
    /// <param name="values">Sixteen values of the input, from −127 to 127.</param>
    /// <param name="bits">See <see cref="IInt8Weights.Bits"/>.</param>
    static abstract T Multiply(T numbers, sbyte* values, int bits);

    /// <summary>The sums of a half of a block as an integer for each row.</summary>
    static abstract TSums Fold(T half, int bits);

    /// <summary>The sums of both halves as an integer for each row.</summary>
    static abstract TSums Fold(T first, T second, int bits);

    /// <summary>Adds an integer to each.</summary>
    static abstract TSums AddTerm(TSums products, int term);

    /// <summary>Float32 [rows].</summary>
    static abstract TSums LoadSums(float* source);

    /// <summary>Float32 [rows].</summary>
    static abstract void StoreSums(TSums value, float* target);

    /// <summary>fma(products as float32, scales × factor, sum).</summary>
    static abstract TSums MultiplyAdd(TSums products, float* scales, float factor, TSums sum);

    /// <summary>fma(mins, term, sum).</summary>
    static abstract TSums AddMins(float* mins, float term, TSums sum);
}
