/* SPDX-License-Identifier: Apache-2.0 */
/*
 * oci_musl.c - for ringfence-oci alone: Debian's libjson-c.a is made for
 * glibc, with the functions that check the size of a buffer first. musl has
 * everything else that it calls, by the same names and with the same layouts.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

int __fprintf_chk(FILE *f, int flag, const char *format, ...);
int __vfprintf_chk(FILE *f, int flag, const char *format, va_list ap);
int __snprintf_chk(char *s, size_t n, int flag, size_t size, const char *format,
                   ...);
int __vsnprintf_chk(char *s, size_t n, int flag, size_t size,
                    const char *format, va_list ap);
int __vasprintf_chk(char **s, int flag, const char *format, va_list ap);
void __vsyslog_chk(int priority, int flag, const char *format, va_list ap);
char *__strcat_chk(char *to, const char *from, size_t size);

int __vfprintf_chk(FILE *f, int flag, const char *format, va_list ap)
{
    (void)flag;
    return vfprintf(f, format, ap);
}

int __fprintf_chk(FILE *f, int flag, const char *format, ...)
{
    va_list ap;
    int n;

    va_start(ap, format);
    n = __vfprintf_chk(f, flag, format, ap);
    va_end(ap);
    return n;
}

int __vsnprintf_chk(char *s, size_t n, int flag, size_t size,
                    const char *format, va_list ap)
{
    (void)flag;
    if (size < n)
        abort();
    return vsnprintf(s, n, format, ap);
}

int __snprintf_chk(char *s, size_t n, int flag, size_t size, const char *format,
                   ...)
{
    va_list ap;
    int len;

    va_start(ap, format);
    len = __vsnprintf_chk(s, n, flag, size, format, ap);
    va_end(ap);
    return len;
}

int __vasprintf_chk(char **s, int flag, const char *format, va_list ap)
{
    (void)flag;
    return vasprintf(s, format, ap);
}

void __vsyslog_chk(int priority, int flag, const char *format, va_list ap)
{
    (void)flag;
    vsyslog(priority, format, ap);
}

char *__strcat_chk(char *to, const char *from, size_t size)
{
    if (strlen(to) + strlen(from) >= size)
        abort();
    return strcat(to, from);
}
