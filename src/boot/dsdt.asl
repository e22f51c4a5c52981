/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dsdt.asl - the board as ACPI shows it: processors, a PCI Express host
 * bridge, COM1, RTC, keyboard controller's absence, pvpanic, and S5.
 *
 * What varies is in struct acpi_board (acpi.h) at 0xfff00, and the VM
 * generation ID at 0xfff80; where the tables are elsewhere, acpi.c changes both.
 */
DefinitionBlock ("dsdt.aml", "DSDT", 2, "RINGFN", "RINGFNCE", 1)
{
    OperationRegion (BORD, SystemMemory, 0x000FFF00, 0x28)
    Field (BORD, DWordAcc, NoLock, Preserve)
    {
        B64L, 32, B64H, 32, /* 64-bit window: base, last, length */
        E64L, 32, E64H, 32,
        L64L, 32, L64H, 32,
        B32, 32, E32, 32, L32, 32,
        BUSN, 32 /* how many buses there are, with 1 MiB of ECAM each */
    }

    /* S5 is the only sleep state: SLP_TYP 5. */
    Name (\_S5, Package () { 5, 5, 0, 0 })

    Scope (\_SB)
    {
        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A08"))
            Name (_CID, EisaId ("PNP0A03"))
            Name (_SEG, 0)
            Name (_BBN, 0)
            Name (_UID, 0)
            Name (_CBA, 0xE0000000)

            Name (CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed,
                               PosDecode, 0, 0, 0, 0, 1, , , WBUS)
                IO (Decode16, 0xCF8, 0xCF8, 1, 8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode,
                        EntireRange, 0, 0xD00, 0xFFFF, 0, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
                             NonCacheable, ReadWrite, 0, 0, 0, 0, 0, , ,
                             W32)
                QWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed,
                             NonCacheable, ReadWrite, 0, 0, 0, 0, 0, , ,
                             W64)
            })

            Method (_CRS, 0, Serialized)
            {
                CreateWordField (CRS, ^WBUS._MAX, MAXB)
                CreateWordField (CRS, ^WBUS._LEN, LENB)
                MAXB = BUSN - 1
                LENB = BUSN
                CreateDWordField (CRS, ^W32._MIN, MINW)
                CreateDWordField (CRS, ^W32._MAX, MAXW)
                CreateDWordField (CRS, ^W32._LEN, LENW)
                MINW = B32
                MAXW = E32
                LENW = L32
                CreateQWordField (CRS, ^W64._MIN, MINQ)
                CreateQWordField (CRS, ^W64._MAX, MAXQ)
                CreateQWordField (CRS, ^W64._LEN, LENQ)
                MINQ = (B64H << 32) | B64L
                MAXQ = (E64H << 32) | E64L
                LENQ = (L64H << 32) | L64L
                Return (CRS)
            }

            /* INTA of slot n is GSI 16 + (n & 7); the rest is not wired. */
            Name (_PRT, Package ()
            {
                Package () { 0x0000FFFF, 0, 0, 16 },
                Package () { 0x0001FFFF, 0, 0, 17 },
                Package () { 0x0002FFFF, 0, 0, 18 },
                Package () { 0x0003FFFF, 0, 0, 19 },
                Package () { 0x0004FFFF, 0, 0, 20 },
                Package () { 0x0005FFFF, 0, 0, 21 },
                Package () { 0x0006FFFF, 0, 0, 22 },
                Package () { 0x0007FFFF, 0, 0, 23 },
                Package () { 0x0008FFFF, 0, 0, 16 },
                Package () { 0x0009FFFF, 0, 0, 17 },
                Package () { 0x000AFFFF, 0, 0, 18 },
                Package () { 0x000BFFFF, 0, 0, 19 },
                Package () { 0x000CFFFF, 0, 0, 20 },
                Package () { 0x000DFFFF, 0, 0, 21 },
                Package () { 0x000EFFFF, 0, 0, 22 },
                Package () { 0x000FFFFF, 0, 0, 23 },
                Package () { 0x0010FFFF, 0, 0, 16 },
                Package () { 0x0011FFFF, 0, 0, 17 },
                Package () { 0x0012FFFF, 0, 0, 18 },
                Package () { 0x0013FFFF, 0, 0, 19 },
                Package () { 0x0014FFFF, 0, 0, 20 },
                Package () { 0x0015FFFF, 0, 0, 21 },
                Package () { 0x0016FFFF, 0, 0, 22 },
                Package () { 0x0017FFFF, 0, 0, 23 },
                Package () { 0x0018FFFF, 0, 0, 16 },
                Package () { 0x0019FFFF, 0, 0, 17 },
                Package () { 0x001AFFFF, 0, 0, 18 },
                Package () { 0x001BFFFF, 0, 0, 19 },
                Package () { 0x001CFFFF, 0, 0, 20 },
                Package () { 0x001DFFFF, 0, 0, 21 },
                Package () { 0x001EFFFF, 0, 0, 22 },
                Package () { 0x001FFFFF, 0, 0, 23 }
            })

            Device (COM1)
            {
                Name (_HID, EisaId ("PNP0501"))
                Name (_UID, 1)
                Name (_CRS, ResourceTemplate ()
                {
                    IO (Decode16, 0x03F8, 0x03F8, 0, 8)
                    IRQNoFlags () { 4 }
                })
            }

            Device (RTC0)
            {
                Name (_HID, EisaId ("PNP0B00"))
                Name (_CRS, ResourceTemplate ()
                {
                    IO (Decode16, 0x0070, 0x0070, 0, 2)
                    IRQNoFlags () { 8 }
                })
            }

            Device (PEVT)
            {
                Name (_HID, "QEMU0001") /* pvpanic, as Linux knows it */
                Name (_STA, 0xF)
                Name (_CRS, ResourceTemplate ()
                {
                    IO (Decode16, 0x0505, 0x0505, 1, 1)
                })
            }
        }

        /* Where the ID is: acpi.h, dev/vmgenid.h. */
        Device (VGEN)
        {
            Name (_HID, "RNGF0001")
            Name (_CID, "VM_Gen_Counter")
            Name (_DDN, "VM_Gen_Counter")
            Name (_STA, 0xF)
            Name (ADDR, Package () { 0x000FFF80, 0 })
        }

        /* Tells that it has changed, on GSI 10. */
        Device (GED)
        {
            Name (_HID, "ACPI0013")
            Name (_UID, 0)
            Name (_CRS, ResourceTemplate ()
            {
                Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { 10 }
            })
            Method (_EVT, 1, Serialized)
            {
                Notify (VGEN, 0x80)
            }
        }

        /* Reserves ECAM, without which Linux does not use it. */
        Device (MRES)
        {
            Name (_HID, EisaId ("PNP0C02"))
            Name (_UID, 1)
            Name (CRS, ResourceTemplate ()
            {
                Memory32Fixed (ReadWrite, 0xE0000000, 0x100000, ECAM)
                IO (Decode16, 0x0600, 0x0600, 0, 12)
            })
            Method (_CRS, 0, Serialized)
            {
                CreateDWordField (CRS, ^ECAM._LEN, LEN)
                LEN = BUSN << 20
                Return (CRS)
            }
        }
    }
}
