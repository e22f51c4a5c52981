# SBB forgets to store.
s/ALU_WIDE(sbb, DO_SBB, KEPT/ALU_WIDE(sbb, DO_SBB, DROPPED/
