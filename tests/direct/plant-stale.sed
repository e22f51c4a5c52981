# In src/mmu/shadow.c: loads of CR3 leave what is mapped.
s/if (sh->space\[i\].used && sh->space\[i\].pcid == pcid)/if (sh->space[i].used \&\& sh->space[i].pcid > pcid)/
