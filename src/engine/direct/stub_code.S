/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stub_code.S - what runs in a stub process besides the guest's user code.
 *
 * Guest code can jump to any instruction here with registers of its choice.
 * What makes that harmless is the filter of system calls (filter.c): those
 * that map memory, and the return from a signal, need secret numbers, which
 * are here only between a stop that the kernel has told the monitor of and the
 * calls that the monitor has answered with; this code wipes them before the
 * guest goes on, and nothing else runs in between.
 * It uses no stack, and reads nothing but its page of communication.
 */
#include "engine/direct/stub_layout.h"

#define SYS_rt_sigreturn 15
#define SYS_mmap         9
#define SYS_getppid      110
#define SYS_exit_group   231

/* Selectors mostly stay what they are, and loading one is slow. */
    .macro LOAD seg, field
    mov     %\seg, %eax
    cmp     %ax, \field(%rbx)
    je      1f
    mov     \field(%rbx), %\seg
1:
    .endm

    .section .rodata
    .balign 64
    .globl stub_code, stub_code_end, stub_handler, stub_first, stub_stopped

stub_code:
/* A signal: rsp is its frame. */
stub_handler:
    lea     stub_code + STUB_COMM(%rip), %rbx
    mov     %rsp, COMM_FRAME(%rbx)
    testb   $1, COMM_TIMED(%rbx)
    jz      1f
    rdtsc
    mov     %eax, COMM_CAME(%rbx)
    mov     %edx, COMM_CAME + 4(%rbx)
1:
    mov     %ds, COMM_DS(%rbx)
    mov     %es, COMM_ES(%rbx)
    mov     %fs, COMM_FS(%rbx)
    mov     %gs, COMM_GS(%rbx)
    rdfsbase %rax
    mov     %rax, COMM_FS_BASE(%rbx)
    rdgsbase %rax
    mov     %rax, COMM_GS_BASE(%rbx)

/* Stops: the filter hands this call to the monitor, who answers when ready. */
.Lreport:
    mov     $SYS_getppid, %eax
    syscall
stub_stopped:
    cmp     $STUB_GO, %eax
    jne     .Lexit

stub_first:
    cld
    lea     stub_code + STUB_COMM(%rip), %rbx
    lea     COMM_CALLS(%rbx), %r13
    mov     COMM_COUNT(%rbx), %r12
.Lcall:
    test    %r12, %r12
    jz      .Lwipe
    mov     0x00(%r13), %rax
    mov     0x08(%r13), %rdi
    mov     0x10(%r13), %rsi
    mov     0x18(%r13), %rdx
    mov     0x20(%r13), %r10
    mov     0x28(%r13), %r8
    mov     0x30(%r13), %r9
    btr     $STUB_CALL_OLD, %rax
    jc      .Lold
    syscall
.Lmade:
    cmp     $-4095, %rax
    jae     .Lfailed
    add     $COMM_CALL, %r13
    dec     %r12
    jmp     .Lcall
.Lold:
    mov     %edi, %ebx
    mov     %esi, %ecx
    int     $0x80
    cdqe
    lea     stub_code + STUB_COMM(%rip), %rbx
    jmp     .Lmade
.Lfailed:
    mov     %rax, COMM_ERROR(%rbx)
    movq    $STUB_REPORT, COMM_NEXT(%rbx)
.Lwipe:
    lea     COMM_CALLS(%rbx), %rdi
    imul    $COMM_CALL / 8, COMM_COUNT(%rbx), %rcx
    xor     %eax, %eax
    mov     %rax, COMM_COUNT(%rbx)
    rep stosq
    xor     %r8d, %r8d
    xor     %r10d, %r10d
    xor     %r9d, %r9d
    xor     %edx, %edx

    mov     COMM_NEXT(%rbx), %eax
    cmp     $STUB_REPORT, %eax
    je      .Lreport
    cmp     $STUB_TRAP, %eax
    je      .Ltrap
    LOAD    ds, COMM_DS
    LOAD    es, COMM_ES
    LOAD    fs, COMM_FS /* which changes the base */
    LOAD    gs, COMM_GS
    mov     COMM_FS_BASE(%rbx), %rax
    wrfsbase %rax
    mov     COMM_GS_BASE(%rbx), %rax
    wrgsbase %rax
    testb   $1, COMM_TIMED(%rbx)
    jz      1f
    rdtsc
    mov     %eax, COMM_WENT(%rbx)
    mov     %edx, COMM_WENT + 4(%rbx)
1:
    lea     COMM_FLAGS(%rbx), %rsp
    popfq
    mov     COMM_FRAME(%rbx), %rsp
    mov     COMM_TOKEN(%rbx), %rdi
    movq    $0, COMM_TOKEN(%rbx)
    mov     $SYS_rt_sigreturn, %eax
    syscall
.Lexit:
    mov     $SYS_exit_group, %eax
    syscall
.Ltrap:
    int3
    jmp     .Lexit
stub_code_end:

/*
 * The program: maps the stub's file (descriptor 4) at its base, which the
 * monitor has filled in, and goes to stub_first, which makes the calls that
 * do the rest.
 */
    .balign 64
    .globl stub_elf, stub_elf_end, stub_elf_base
#define ELF_ADDRESS 0x400000
stub_elf:
    .byte   0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0
    .short  2, 62                   /* executable, x86-64 */
    .long   1
    .quad   ELF_ADDRESS + (.Lstart - stub_elf)
    .quad   .Lsegments - stub_elf, 0
    .long   0
    .short  64, 56, 2, 0, 0, 0
.Lsegments:
    .long   1, 5                    /* load: readable, executable */
    .quad   0, ELF_ADDRESS, ELF_ADDRESS
    .quad   stub_elf_end - stub_elf, stub_elf_end - stub_elf, 0x1000
    .long   0x6474e551, 6           /* a stack that is not executable */
    .quad   0, 0, 0, 0, 0, 16
.Lstart:
    mov     stub_elf_base(%rip), %rbx
    mov     $SYS_mmap, %eax         /* the code: nobody may write it */
    mov     %rbx, %rdi
    mov     $0x1000, %esi
    mov     $5, %edx                /* PROT_READ | PROT_EXEC */
    mov     $0x11, %r10d            /* MAP_SHARED | MAP_FIXED */
    mov     $4, %r8d
    xor     %r9d, %r9d
    syscall
    cmp     %rbx, %rax
    jne     .Lgone
    mov     $SYS_mmap, %eax
    lea     STUB_COMM(%rbx), %rdi
    mov     $STUB_SIZE - STUB_COMM, %esi
    mov     $3, %edx                /* PROT_READ | PROT_WRITE */
    mov     $0x11, %r10d
    mov     $4, %r8d
    mov     $STUB_COMM, %r9d
    syscall
    test    %rax, %rax
    js      .Lgone
    lea     stub_first - stub_code(%rbx), %rax
    jmp     *%rax
.Lgone:
    mov     $SYS_exit_group, %eax
    mov     $1, %edi
    syscall
    .balign 8
stub_elf_base:
    .quad   0
stub_elf_end:

    .section .note.GNU-stack, "", @progbits
