# A comparison and its JGE, run as one, do not jump when both are equal.
s/define COND_13(a, b) ((S)(a) >= (S)(b))/define COND_13(a, b) ((S)(a) > (S)(b))/
