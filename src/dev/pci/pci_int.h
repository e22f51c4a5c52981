/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pci_int.h - what the files of dev/pci share.
 */
#pragma once

#include "dev/pci/pci.h"

/* Brings the bus into line with commands and BARs of all functions. */
void pci_remap(struct pci_host *h);

void pci_msix_reset(struct pci_func *f);
/* Sends what was pending and is masked no longer. */
void pci_msix_flush(struct pci_func *f);
