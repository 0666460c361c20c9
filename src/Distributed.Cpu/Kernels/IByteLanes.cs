namespace Distributed.Cpu.Kernels;

/// <summary>
/// Lanes of four bytes, one for each of some rows of weights: a register or a number. The factors of quantised weights are unpacked in
/// this unit, their numbers in <see cref="IRowBytes{T}"/>.
/// </summary>
/// <typeparam name="T">The implementing type.</typeparam>
internal unsafe interface IByteLanes<T>
    where T : struct, IByteLanes<T>
{
    /// <summary>Rows: lanes.</summary>
    static abstract int Rows { get; }

    /// <summary>Every byte <paramref name="value"/>.</summary>
    static abstract T Create(byte value);

    /// <summary>Four bytes of each row.</summary>
    /// <param name="rows">Where the first row's bytes are.</param>
    /// <param name="stride">Bytes from a row to the next, at least sixteen with more than one row.</param>
    static abstract T Load(byte* rows, long stride);

    /// <summary>The first four of at least sixteen bytes of each row.</summary>
    /// <param name="rows">Where the first row's bytes are.</param>
    /// <param name="stride">Bytes from a row to the next.</param>
    static abstract T LoadFirst(byte* rows, long stride);

    /// <summary>Sixteen bytes of each row, turned into four columns of lanes.</summary>
    /// <param name="rows">Where the first row's bytes are.</param>
    /// <param name="stride">Bytes from a row to the next.</param>
    /// <param name="first">Bytes 0 to 3 of each row.</param>
    /// <param name="second">Bytes 4 to 7.</param>
    /// <param name="third">Bytes 8 to 11.</param>
    /// <param name="fourth">Bytes 12 to 15.</param>
    static abstract void Load(byte* rows, long stride, out T first, out T second, out T third, out T fourth);

    static abstract T operator &(T left, T right);

    static abstract T operator |(T left, T right);

    static abstract T operator ^(T left, T right);

    /// <summary>Shifts each lane as one 32-bit number.</summary>
    static abstract T operator <<(T value, int bits);

    /// <summary>Shifts each lane as one unsigned 32-bit number.</summary>
    static abstract T operator >>(T value, int bits);

    /// <summary>Writes the lower two bytes of each lane.</summary>
    static abstract void StoreLow(T value, ushort* target);

    /// <summary>The lower two bytes of each lane, an IEEE half, as float32.</summary>
    static abstract void StoreLowHalves(T value, float* target);

    /// <summary>IEEE halves as float32.</summary>
    /// <param name="source">The halves.</param>
    /// <param name="target">Room for as many.</param>
    /// <param name="count">A multiple of sixteen.</param>
    static abstract void ToSingles(ushort* source, float* target, int count);

    /// <summary>target[lane] = (byte <paramref name="index"/> of the lane − <paramref name="offset"/>) × factors[lane].</summary>
    static abstract void StoreScales(T value, int index, int offset, float* factors, float* target);
}
