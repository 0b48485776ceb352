/* DSDT of the board: what ACPI can't find out by itself. Compiled by iasl when the devices library is built.
 * Addresses and interrupts repeat the table in board_pc.c. */
DefinitionBlock ("", "DSDT", 1, "VMRR", "VMRRPC", 0x00000001)
{
    /* 0: 8259 pair, 1: I/O APIC. All interrupt numbers below hold for both: I/O APIC pins 3 to 15 are ISA interrupts. */
    Name (PICM, Zero)
    Method (\_PIC, 1, NotSerialized)
    {
        PICM = Arg0
    }

    Name (\_S5, Package () { Zero, Zero, Zero, Zero }) /* SLP_TYP of soft off on the PIIX4 */

    Scope (\_SB)
    {
        Device (C000)
        {
            Name (_HID, "ACPI0007")
            Name (_UID, Zero)
        }

        Device (PCI0)
        {
            Name (_HID, EisaId ("PNP0A03"))
            Name (_UID, Zero)
            Name (_CRS, ResourceTemplate ()
            {
                WordBusNumber (ResourceProducer, MinFixed, MaxFixed, PosDecode, 0x0000, 0x0000, 0x00FF, 0x0000, 0x0100)
                IO (Decode16, 0x0CF8, 0x0CF8, 0x01, 0x08)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                        0x0000, 0x0000, 0x0CF7, 0x0000, 0x0CF8)
                WordIO (ResourceProducer, MinFixed, MaxFixed, PosDecode, EntireRange,
                        0x0000, 0x0D00, 0xFFFF, 0x0000, 0xF300)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, Cacheable, ReadWrite,
                             0x00000000, 0x000A0000, 0x000BFFFF, 0x00000000, 0x00020000)
                DWordMemory (ResourceProducer, PosDecode, MinFixed, MaxFixed, NonCacheable, ReadWrite,
                             0x00000000, 0xC0000000, 0xFEBFFFFF, 0x00000000, 0x3EC00000)
            })

#define SLOT(n, a, b, c, d) \
            Package () { (n << 16) | 0xFFFF, 0, a, 0 }, Package () { (n << 16) | 0xFFFF, 1, b, 0 }, \
            Package () { (n << 16) | 0xFFFF, 2, c, 0 }, Package () { (n << 16) | 0xFFFF, 3, d, 0 }
#define FOUR_SLOTS(n0, n1, n2, n3) \
            SLOT (n0, LNKD, LNKA, LNKB, LNKC), SLOT (n1, LNKA, LNKB, LNKC, LNKD), \
            SLOT (n2, LNKB, LNKC, LNKD, LNKA), SLOT (n3, LNKC, LNKD, LNKA, LNKB)
            /* INTx of slot n reaches PIRQ (x + n - 1) mod 4. */
            Name (_PRT, Package ()
            {
                FOUR_SLOTS (0x00, 0x01, 0x02, 0x03), FOUR_SLOTS (0x04, 0x05, 0x06, 0x07),
                FOUR_SLOTS (0x08, 0x09, 0x0A, 0x0B), FOUR_SLOTS (0x0C, 0x0D, 0x0E, 0x0F),
                FOUR_SLOTS (0x10, 0x11, 0x12, 0x13), FOUR_SLOTS (0x14, 0x15, 0x16, 0x17),
                FOUR_SLOTS (0x18, 0x19, 0x1A, 0x1B), FOUR_SLOTS (0x1C, 0x1D, 0x1E, 0x1F)
            })

            Device (ISA)
            {
                Name (_ADR, 0x00010000)
                OperationRegion (PIRQ, PCI_Config, 0x60, 0x04)
                Field (PIRQ, ByteAcc, NoLock, Preserve)
                {
                    PRQA, 8, PRQB, 8, PRQC, 8, PRQD, 8
                }

                Device (KBD)
                {
                    Name (_HID, EisaId ("PNP0303"))
                    Name (_STA, 0x0F)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0060, 0x0060, 0x01, 0x01)
                        IO (Decode16, 0x0064, 0x0064, 0x01, 0x01)
                        IRQNoFlags () { 1 }
                    })
                }
                Device (MOU)
                {
                    Name (_HID, EisaId ("PNP0F13"))
                    Name (_STA, 0x0F)
                    Name (_CRS, ResourceTemplate () { IRQNoFlags () { 12 } })
                }
                Device (COM1)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, One)
                    Name (_STA, 0x0F)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x03F8, 0x03F8, 0x00, 0x08)
                        IRQNoFlags () { 4 }
                    })
                }
                Device (COM2)
                {
                    Name (_HID, EisaId ("PNP0501"))
                    Name (_UID, 0x02)
                    Name (_STA, 0x0F)
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x02F8, 0x02F8, 0x00, 0x08)
                        IRQNoFlags () { 3 }
                    })
                }
                Device (RTC)
                {
                    Name (_HID, EisaId ("PNP0B00"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0070, 0x0070, 0x10, 0x02)
                        IRQNoFlags () { 8 }
                    })
                }
                Device (PIC)
                {
                    Name (_HID, EisaId ("PNP0000"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0020, 0x0020, 0x00, 0x02)
                        IO (Decode16, 0x00A0, 0x00A0, 0x00, 0x02)
                        IO (Decode16, 0x04D0, 0x04D0, 0x00, 0x02)
                        IRQNoFlags () { 2 }
                    })
                }
                Device (TIMR)
                {
                    Name (_HID, EisaId ("PNP0100"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0040, 0x0040, 0x00, 0x04)
                        IRQNoFlags () { 0 }
                    })
                }
                Device (DMAC)
                {
                    Name (_HID, EisaId ("PNP0200"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0000, 0x0000, 0x00, 0x10)
                        IO (Decode16, 0x0081, 0x0081, 0x00, 0x0F)
                        IO (Decode16, 0x00C0, 0x00C0, 0x00, 0x20)
                        DMA (Compatibility, NotBusMaster, Transfer8_16) { 4 }
                    })
                }
                Device (SPKR)
                {
                    Name (_HID, EisaId ("PNP0800"))
                    Name (_CRS, ResourceTemplate () { IO (Decode16, 0x0061, 0x0061, 0x01, 0x01) })
                }
                Device (FPU)
                {
                    Name (_HID, EisaId ("PNP0C04"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x00F0, 0x00F0, 0x00, 0x10)
                        IRQNoFlags () { 13 }
                    })
                }
                Device (MBRD) /* what no driver may take */
                {
                    Name (_HID, EisaId ("PNP0C02"))
                    Name (_CRS, ResourceTemplate ()
                    {
                        IO (Decode16, 0x0092, 0x0092, 0x00, 0x01)
                        IO (Decode16, 0x00B2, 0x00B2, 0x00, 0x02)
                        IO (Decode16, 0x0600, 0x0600, 0x00, 0x40)
                        Memory32Fixed (ReadOnly, 0xFEC00000, 0x00001000)
                        Memory32Fixed (ReadOnly, 0xFEE00000, 0x00001000)
                    })
                }
            }

            Device (HPET)
            {
                Name (_HID, EisaId ("PNP0103"))
                Name (_UID, Zero)
                Name (_STA, 0x0F)
                Name (_CRS, ResourceTemplate () { Memory32Fixed (ReadOnly, 0xFED00000, 0x00000400) })
            }

            Device (FWCF)
            {
                Name (_HID, "QEMU0002")
                Name (_STA, 0x0B)
                Name (_CRS, ResourceTemplate () { IO (Decode16, 0x0510, 0x0510, 0x01, 0x0C) })
            }
        }

        /* The PIIX3's PCI interrupt router: bit 7 of a register disconnects, bits 3:0 are the ISA interrupt. */
#define LINK(name, uid, reg) \
        Device (name) \
        { \
            Name (_HID, EisaId ("PNP0C0F")) \
            Name (_UID, uid) \
            Name (_PRS, ResourceTemplate () { Interrupt (ResourceConsumer, Level, ActiveHigh, Shared) { 5, 10, 11 } }) \
            Method (_STA, 0, NotSerialized) { If (\_SB.PCI0.ISA.reg & 0x80) { Return (0x09) } Return (0x0B) } \
            Method (_DIS, 0, NotSerialized) { \_SB.PCI0.ISA.reg |= 0x80 } \
            Method (_CRS, 0, Serialized) \
            { \
                Name (RES, ResourceTemplate () \
                { \
                    Interrupt (ResourceConsumer, Level, ActiveHigh, Shared, ,, IRQR) { 0 } \
                }) \
                CreateDWordField (RES, IRQR._INT, IRQN) \
                IRQN = Zero \
                If (!(\_SB.PCI0.ISA.reg & 0x80)) { IRQN = \_SB.PCI0.ISA.reg & 0x0F } \
                Return (RES) \
            } \
            Method (_SRS, 1, NotSerialized) \
            { \
                CreateDWordField (Arg0, 0x05, IRQN) \
                \_SB.PCI0.ISA.reg = IRQN \
            } \
        }
        LINK (LNKA, 0, PRQA)
        LINK (LNKB, 1, PRQB)
        LINK (LNKC, 2, PRQC)
        LINK (LNKD, 3, PRQD)
    }
}
