/* SPDX-License-Identifier: Apache-2.0 */
#include "dev/vmgenid.h"

void vmgenid_set(struct guest_mem *m, const uint8_t id[VMGENID_LEN])
{
    /* RAM below 1 MiB is always there */
    if (guest_mem_write(m, VMGENID_GPA, id, VMGENID_LEN))
        return;
}

void vmgenid_change(struct guest_mem *m, const struct irq_line *line,
                    const uint8_t id[VMGENID_LEN])
{
    vmgenid_set(m, id);
    irq_set(line, true);
    irq_set(line, false);
}
