# In src/engine/direct/policy.c: no fault, but whatever can run natively does.
s/define WARM_INSNS .*/define WARM_INSNS 1/
s/define COLD_INSNS .*/define COLD_INSNS 1/
s/define FAR_INSNS .*/define FAR_INSNS 1/
s/MIN(p->backoff + 1, BACKOFF_MAX)/0/
s/p->useful \* (SLOWER - 1) >= p->ticks/p->ticks | 1/
s/begin(p, p->insns \/ p->entries >= FAR_INSNS)/begin(p, true)/
