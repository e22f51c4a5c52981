/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/vmgenid.h"

void vmgenid_set(struct guest_mem *m, gpa_t at, const uint8_t id[VMGENID_LEN])
{
    /* it is RAM: the ACPI tables are there too */
    if (guest_mem_write(m, at, id, VMGENID_LEN))
        return;
}

void vmgenid_change(struct guest_mem *m, gpa_t at, const struct irq_line *line,
                    const uint8_t id[VMGENID_LEN])
{
    vmgenid_set(m, at, id);
    irq_set(line, true);
    irq_set(line, false);
}
