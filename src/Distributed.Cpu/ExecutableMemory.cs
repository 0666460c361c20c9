using System.Runtime.InteropServices;
using Iced.Intel;

namespace Distributed.Cpu;

/// <summary>
/// Memory that holds code assembled at run time. It is written first and made executable then, never both at once. It stays until
/// the process ends.
/// </summary>
internal static unsafe partial class ExecutableMemory
{
    private const int ProtRead = 1;
    private const int ProtWrite = 2;
    private const int ProtExec = 4;
    private const int MapPrivate = 2;
    private const uint MemCommitReserve = 0x3000;
    private const uint PageReadWrite = 4;
    private const uint PageExecuteRead = 0x20;

    // Linux and macOS differ in the number.
    private static int MapAnonymous => OperatingSystem.IsMacOS() ? 0x1000 : 0x20;

    /// <summary>Copies code into executable memory; null where the system refuses it.</summary>
    /// <param name="length">Bytes to allocate.</param>
    /// <param name="code">The code, at most <paramref name="length"/> bytes.</param>
    public static void* TryCreate(int length, Assembler code)
    {
        // What is assembled is code of 64 bits.
        if (RuntimeInformation.ProcessArchitecture != Architecture.X64)
            return null;
        try
        {
            if (OperatingSystem.IsWindows())
            {
                var memory = VirtualAlloc(null, (nuint)length, MemCommitReserve, PageReadWrite);
                if (memory is null)
                    return null;
                Encode(code, memory).CopyTo(new Span<byte>(memory, length));
                return VirtualProtect(memory, (nuint)length, PageExecuteRead, out _) ? memory : null;
            }
            var mapped = Map(null, length, ProtRead | ProtWrite, MapPrivate | MapAnonymous, -1, 0);
            if ((nint)mapped == -1)
                return null;
            Encode(code, mapped).CopyTo(new Span<byte>(mapped, length));
            return Protect(mapped, length, ProtRead | ProtExec) == 0 ? mapped : null;
        }
        catch (Exception exception) when (exception is DllNotFoundException or EntryPointNotFoundException)
        {
            return null;
        }
    }

    private static byte[] Encode(Assembler code, void* address)
    {
        using var bytes = new MemoryStream();
        code.Assemble(new StreamCodeWriter(bytes), (ulong)address);
        return bytes.ToArray();
    }

    [LibraryImport("libc", EntryPoint = "mmap")]
    private static partial void* Map(void* address, nint length, int protection, int flags, int file, nint offset);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    private static partial int Protect(void* address, nint length, int protection);

    [LibraryImport("kernel32")]
    private static partial void* VirtualAlloc(void* address, nuint size, uint type, uint protection);

    [LibraryImport("kernel32")]
    [return: MarshalAs(UnmanagedType.Bool)]
    private static partial bool VirtualProtect(void* address, nuint size, uint protection, out uint old);
}
