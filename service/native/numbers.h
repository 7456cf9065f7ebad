/* Numbers as JSON writes them, read to the nearest double, as Python's float() does.

   Nineteen digits fit a word. If they are below 2^53 and the power of ten is small, one division or product
   of two exact doubles is already right (Clinger 1990). Most others take two products of words (Lemire 2021,
   "Number Parsing at a Gigabyte per Second"); where these do not decide, and for what is longer, Python does.
   The powers of five that this needs are worked out by Python when the module is loaded (service/native). */
#ifndef SAGEBIRD_NUMBERS_H
#define SAGEBIRD_NUMBERS_H

#include <Python.h>
#include <stdint.h>
#include <string.h>

#define LEAST_POWER (-65)
#define MOST_POWER 65
#define POWERS (MOST_POWER - LEAST_POWER + 1)
#define MOST_DIGITS 19
#define EXACT_POWERS 23
#define MOST_EXPONENT 100000

/* The 128 leading bits of each power of five, the high word first. */
extern uint64_t powers_of_five[POWERS][2];
extern const double exact_powers[EXACT_POWERS];

/* What Python reads there; 0 where it is no finite number. */
int read_slowly(const char *start, const char *end, double *number);

static inline int is_digit(char character) { return (unsigned char)(character - '0') < 10; }

/* The double nearest to digits * 10^power; 0 where that is not decided so. */
static inline int nearest(uint64_t digits, int power, double *number) {
#if defined(__SIZEOF_INT128__)
    int zeros, upper, exponent;
    uint64_t high, low, mantissa;
    unsigned __int128 product;
    if (digits == 0 || power < LEAST_POWER || power > MOST_POWER) return 0;
    zeros = __builtin_clzll(digits);
    digits <<= zeros;
    product = (unsigned __int128)digits * powers_of_five[power - LEAST_POWER][0];
    high = (uint64_t)(product >> 64);
    low = (uint64_t)product;
    if ((high & 0x1FF) == 0x1FF) {
        unsigned __int128 more = (unsigned __int128)digits * powers_of_five[power - LEAST_POWER][1];
        uint64_t carried = low + (uint64_t)(more >> 64);
        high += carried < low;
        low = carried;
    }
    if (low == UINT64_MAX) return 0;
    upper = (int)(high >> 63);
    mantissa = high >> (upper + 9);
    exponent = (((152170 + 65536) * power) >> 16) + 63 + upper - zeros + 1023;
    if (exponent <= 0 || exponent >= 0x7FE) return 0;
    if (low <= 1 && power >= -4 && power <= 23 && (mantissa & 3) == 1 && mantissa << (upper + 9) == high)
        mantissa &= ~(uint64_t)1; /* just between two doubles: the even one */
    mantissa += mantissa & 1;
    mantissa >>= 1;
    if (mantissa >= (uint64_t)1 << 53) {
        mantissa = (uint64_t)1 << 52;
        exponent++;
    }
    mantissa = (mantissa & ~((uint64_t)1 << 52)) | (uint64_t)exponent << 52;
    memcpy(number, &mantissa, sizeof mantissa);
    return 1;
#else
    (void)digits, (void)power, (void)number;
    return 0;
#endif
}

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define EIGHT_AT_ONCE 1
static const uint64_t whole_powers[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000, 100000000};

/* What eight digits say, the first in the lowest byte: pairs, then fours, then all are put together. */
static inline uint64_t eight_digits(uint64_t digits) {
    digits = 10 * digits + (digits >> 8);
    return ((digits & 0x000000FF000000FFu) * 0x000F424000000064u +
            (digits >> 16 & 0x000000FF000000FFu) * 0x0000271000000001u) >> 32;
}
#endif

/* Puts the digits that begin at `at` behind those that are there; returns where they end. */
static inline const char *read_digits(const char *at, const char *end, uint64_t *digits) {
#ifdef EIGHT_AT_ONCE
    while (end - at >= 8) {
        uint64_t word, others;
        int count;
        memcpy(&word, at, sizeof word);
        word ^= 0x3030303030303030u; /* digits become what they are; the first other byte is found, if there is one */
        others = ((word + 0x7676767676767676u) | word) & 0x8080808080808080u;
        if (others != 0) {
            count = __builtin_ctzll(others) >> 3;
            if (count == 0) return at;
            *digits = *digits * whole_powers[count] + eight_digits(word << (64 - 8 * count));
            return at + count;
        }
        *digits = *digits * whole_powers[8] + eight_digits(word);
        at += 8;
    }
#endif
    while (at < end && is_digit(*at)) *digits = 10 * *digits + (uint64_t)(*at++ - '0');
    return at;
}

/* Without a branch, for which of two signs comes is not to be guessed. */
static inline void give_sign(double *number, int negative) {
    uint64_t bits;
    memcpy(&bits, number, sizeof bits);
    bits |= (uint64_t)negative << 63;
    memcpy(number, &bits, sizeof bits);
}

/* Where the number that begins at `start` ends; NULL where none begins there that is finite. An integer -0
   keeps its sign, which JSON would drop and CSV does not. */
static inline const char *read_number(const char *start, const char *end, double *number) {
    const char *at = start, *first, *point;
    uint64_t digits = 0;
    Py_ssize_t count, power = 0;
    int negative = at < end && *at == '-';
    at += negative;
    first = at;
    if (at == end || !is_digit(*at)) return NULL;
    digits = (uint64_t)(*at++ - '0');
    if (at < end && is_digit(*at)) {
        if (*first == '0') return NULL;
        at = read_digits(at, end, &digits);
    }
    count = at - first;
    if (at < end && *at == '.') {
        point = ++at;
        at = read_digits(at, end, &digits);
        power = point - at;
        if (power == 0) return NULL;
        count -= power;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        Py_ssize_t exponent = 0;
        int below;
        at++;
        below = at < end && *at == '-';
        at += at < end && (*at == '-' || *at == '+');
        point = at;
        for (; at < end && is_digit(*at); at++)
            if (exponent < MOST_EXPONENT) exponent = 10 * exponent + (*at - '0');
        if (at == point) return NULL;
        power += below ? -exponent : exponent;
    }
    if (count <= MOST_DIGITS) {
        if (digits >> 53 == 0 && power > -EXACT_POWERS && power < EXACT_POWERS) {
            double whole = (double)(int64_t)digits;
            *number = power < 0 ? whole / exact_powers[-power] : whole * exact_powers[power];
            give_sign(number, negative);
            return at;
        }
        if (power >= LEAST_POWER && power <= MOST_POWER && nearest(digits, (int)power, number)) {
            give_sign(number, negative);
            return at;
        }
    }
    return read_slowly(start, at, number) ? at : NULL;
}

#endif
