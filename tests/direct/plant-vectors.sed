# In src/engine/direct/frame.c: the upper halves of YMM registers do not travel.
s/fpu_to_xsave(cpu, FP_ALL, (uint8_t \*)fp);/& memset(fp->ymm_high, 0, sizeof(fp->ymm_high));/
