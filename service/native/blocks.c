/* Blocks of rows: what numbers are in them, and tables and numbers side by side as one. */
#include "kernels.h"

#include <float.h>
#include <stdint.h>
#include <string.h>

#define ROWS_AT_ONCE 256 /* which stay in the nearest cache while part after part is laid beside the others */

enum { PLAIN, GAPS, BEYOND, UNKNOWN };

PyObject *look_over(PyObject *module, PyObject *given) {
    Py_buffer rows;
    const uint64_t *numbers;
    uint64_t most, without_sign = UINT64_MAX >> 1, infinite = (uint64_t)0x7FF << 52, large = 0, beyond = 0;
    double largest = FLT_MAX;
    Py_ssize_t count;
    (void)module;
    if (PyObject_GetBuffer(given, &rows, PyBUF_FORMAT) < 0) return NULL;
    if (rows.format == NULL || strcmp(rows.format, "d") != 0) {
        PyBuffer_Release(&rows);
        return PyLong_FromLong(UNKNOWN);
    }
    numbers = rows.buf;
    count = rows.len / (Py_ssize_t)sizeof(double);
    memcpy(&most, &largest, sizeof most);
    /* Without their sign, bits of doubles are in the order of the numbers, and of nan above the infinite. A
       difference that is below 0 has its highest bit set; without comparisons all of it is done several at once. */
    for (Py_ssize_t at = 0; at < count; at++) {
        uint64_t number = numbers[at] & without_sign;
        large |= most - number;
        beyond |= (most - number) & ~(infinite - number);
    }
    PyBuffer_Release(&rows);
    return PyLong_FromLong(beyond >> 63 ? BEYOND : large >> 63 ? GAPS : PLAIN);
}

typedef struct {
    Py_buffer given, table;
    Py_ssize_t width, held; /* numbers in a row; rows of the table */
    int by_table, by_columns;
} Part;

/* A part: its numbers in each row, what they are taken from, and either a table by codes or how they lie. */
static int take_part(Part *part, PyObject *told, Py_ssize_t rows) {
    PyObject *table;
    Py_ssize_t expected;
    if (!PyTuple_Check(told)) {
        PyErr_SetString(PyExc_TypeError, "a part is a tuple");
        return -1;
    }
    if (!PyArg_ParseTuple(told, "ny*Op", &part->width, &part->given, &table, &part->by_columns)) return -1;
    part->by_table = table != Py_None;
    if (part->by_table && PyObject_GetBuffer(table, &part->table, PyBUF_SIMPLE) < 0) return -1;
    expected = rows * (part->by_table ? 1 : part->width) * (Py_ssize_t)sizeof(double);
    if (part->width < 1 || part->given.len != expected) {
        PyErr_SetString(PyExc_ValueError, "a part does not have as many rows");
        return -1;
    }
    part->held = part->table.len / (part->width * (Py_ssize_t)sizeof(double));
    return 0;
}

/* 0 where a code is in no row of the table. */
static int lay_codes(const Part *part, double *out, Py_ssize_t width, Py_ssize_t start, Py_ssize_t end) {
    const double *codes = part->given.buf, *table = part->table.buf;
    for (Py_ssize_t row = start; row < end; row++) {
        const double *found;
        if (!(codes[row] >= 0 && codes[row] < (double)part->held)) return 0;
        found = table + (Py_ssize_t)codes[row] * part->width;
        for (Py_ssize_t at = 0; at < part->width; at++) out[row * width + at] = found[at];
    }
    return 1;
}

static void lay_numbers(
    const Part *part, double *out, Py_ssize_t width, Py_ssize_t rows, Py_ssize_t start, Py_ssize_t end) {
    const double *numbers = part->given.buf;
    for (Py_ssize_t at = 0; at < part->width; at++) {
        Py_ssize_t step = part->by_columns ? 1 : part->width;
        const double *column = numbers + (part->by_columns ? at * rows : at);
        for (Py_ssize_t row = start; row < end; row++) out[row * width + at] = column[row * step];
    }
}

static int lay_parts(const Part *parts, Py_ssize_t count, double *out, Py_ssize_t width, Py_ssize_t rows) {
    for (Py_ssize_t start = 0; start < rows; start += ROWS_AT_ONCE) {
        Py_ssize_t end = rows - start < ROWS_AT_ONCE ? rows : start + ROWS_AT_ONCE, at = 0;
        for (const Part *part = parts; part < parts + count; at += part++->width) {
            if (!part->by_table) lay_numbers(part, out + at, width, rows, start, end);
            else if (!lay_codes(part, out + at, width, start, end)) return 0;
        }
    }
    return 1;
}

PyObject *lay_beside(PyObject *module, PyObject *arguments) {
    PyObject *told;
    Py_buffer out;
    Part *parts;
    Py_ssize_t rows, count, width = 0;
    int good = 0;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "w*nO!:lay_beside", &out, &rows, &PyTuple_Type, &told)) return NULL;
    count = PyTuple_Size(told);
    parts = PyMem_Calloc((size_t)count + 1, sizeof(Part));
    if (parts == NULL) PyErr_NoMemory();
    for (Py_ssize_t at = 0; parts != NULL && at < count && !PyErr_Occurred(); at++) {
        if (take_part(&parts[at], PyTuple_GetItem(told, at), rows) == 0) width += parts[at].width;
    }
    if (!PyErr_Occurred() && (rows < 0 || width < 1 || out.len != rows * width * (Py_ssize_t)sizeof(double)))
        PyErr_SetString(PyExc_ValueError, "the parts beside one another are not as wide as the rows");
    if (!PyErr_Occurred()) good = lay_parts(parts, count, out.buf, width, rows);
    for (Py_ssize_t at = 0; parts != NULL && at < count; at++) {
        PyBuffer_Release(&parts[at].given);
        PyBuffer_Release(&parts[at].table);
    }
    PyMem_Free(parts);
    PyBuffer_Release(&out);
    return PyErr_Occurred() ? NULL : PyBool_FromLong(good);
}
