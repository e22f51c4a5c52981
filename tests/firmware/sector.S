/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sector.S - a boot sector that makes claims about what firmware gave it: a
 * disk, a memory map, a console. Then it echoes keys until `q', and ends by
 * the debug-exit port with the number of claims that did not hold.
 */
    .code16
    .globl _start
_start:
    ljmp $0, $1f
1:  xor %ax, %ax
    mov %ax, %ds
    mov %ax, %es
    mov %ax, %ss
    mov $0x7c00, %sp
    cld
    mov %dl, drive
    mov $hello, %si
    call puts

    /* LBA 1 of the disk, by the BIOS's extensions */
    mov $packet, %si
    mov drive, %dl
    mov $0x42, %ah
    int $0x13
    jc 2f
    cmpl $0x32736e69, 0x8000        /* "ins2" */
    je 3f
2:  incb failed
    mov $no_disk, %si
    call puts
3:
    /* The memory map: RAM at 1 MiB, and the ACPI tables' area not RAM. */
    xor %ebx, %ebx
4:  mov $0xe820, %eax
    mov $0x534d4150, %edx
    mov $24, %ecx
    mov $0x8200, %di
    int $0x15
    jc 5f
    cmpl $0x100000, 0x8200
    jne 6f
    cmpl $1, 0x8210
    jne 6f
    incb ram
6:  test %ebx, %ebx
    jnz 4b
5:  cmpb $1, ram
    je 7f
    incb failed
    mov $no_map, %si
    call puts
7:
    mov $keys, %si
    call puts
8:  xor %ah, %ah
    int $0x16
    cmp $'q', %al
    je 9f
    mov $0x0e, %ah
    mov $7, %bx
    int $0x10
    jmp 8b
9:  mov $bye, %si
    call puts
    mov $4, %cx                     /* SeaBIOS keeps the last byte a tick */
    sti
1:  hlt
    loop 1b
    movzbl failed, %eax
    mov $0xf4, %dx
    out %eax, %dx
    hlt

puts:
    lodsb
    test %al, %al
    jz 1f
    mov $0x0e, %ah
    mov $7, %bx
    int $0x10
    jmp puts
1:  ret

hello:   .asciz "sector: here\r\n"
no_disk: .asciz "sector: cannot read the disk\r\n"
no_map:  .asciz "sector: no memory map\r\n"
keys:    .asciz "sector: keys, please\r\n"
bye:     .asciz "\r\nsector: bye\r\n"
drive:   .byte 0
failed:  .byte 0
ram:     .byte 0
    .balign 4
packet:  .byte 16, 0
    .word 1, 0x8000, 0
    .quad 1
    .org 510
    .word 0xaa55
    .ascii "ins2"
    .org 1024
