# In src/engine/direct/frame.c: the upper halves of YMM registers do not travel.
s/memcpy(fp->ymm_high\[i\], cpu->fpu.ymm\[i\] + 16, 16)/memset(fp->ymm_high[i], 0, 16)/
