/* Rows of numbers, as CSV. */
#include "kernels.h"
#include "numbers.h"

static const char *skip_blanks(const char *at, const char *end) {
    while (at < end && *at == ' ') at++;
    return at;
}

/* Reads one cell and what ends it; NULL where it is not plain. `*ends_row`: the end of the row was there. */
static const char *read_cell(const char *at, const char *end, int gaps, double *number, int *ends_row) {
    const char *start = at;
    at = skip_blanks(at, end);
    if (gaps && at == start && (at == end || *at == ',' || *at == '\n')) {
        *number = Py_NAN;
    } else {
        at = read_number(at, end, number);
        if (at == NULL) return NULL;
        at = skip_blanks(at, end);
    }
    *ends_row = at == end || *at == '\n';
    return *ends_row || *at == ',' ? at + 1 : NULL;
}

static Py_ssize_t count(const char *at, const char *end, char wanted) {
    Py_ssize_t found = 0;
    for (; at < end; at++) found += *at == wanted;
    return found;
}

/* Fills in `rows` * `columns` numbers. 0 where some row is not plain, or not as wide as the others. */
static int read_table(const char *at, const char *end, int gaps, double *numbers, Py_ssize_t rows, Py_ssize_t columns) {
    for (Py_ssize_t row = 0; row < rows; row++) {
        for (Py_ssize_t column = 0; column < columns; column++) {
            int ends_row = 0;
            at = read_cell(at, end, gaps, numbers++, &ends_row);
            if (at == NULL || ends_row != (column == columns - 1)) return 0;
        }
    }
    return at > end;
}

PyObject *read_rows(PyObject *module, PyObject *arguments) {
    Py_buffer body;
    int gaps = 0;
    PyObject *numbers, *found = NULL;
    const char *start, *end, *line;
    Py_ssize_t rows, columns;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*|p:read_rows", &body, &gaps)) return NULL;
    start = body.buf;
    end = start + body.len;
    line = body.len ? memchr(start, '\n', (size_t)body.len) : NULL;
    columns = count(start, line == NULL ? end : line, ',') + 1;
    rows = line == NULL ? 1 : count(line, end, '\n') + 1;
    if (columns == 1) gaps = 0; /* the row would be blank */
    /* Behind every cell but the last stands a separator, so that room is made for no more than there can be. */
    if (body.len == 0 || rows > (body.len + 1) / columns) {
        PyBuffer_Release(&body);
        Py_RETURN_NONE;
    }
    numbers = PyByteArray_FromStringAndSize(NULL, rows * columns * (Py_ssize_t)sizeof(double));
    if (numbers != NULL && read_table(start, end, gaps, (double *)PyByteArray_AsString(numbers), rows, columns))
        found = Py_BuildValue("Nn", numbers, columns);
    else if (numbers != NULL)
        Py_DECREF(numbers);
    PyBuffer_Release(&body);
    if (found == NULL && !PyErr_Occurred()) Py_RETURN_NONE;
    return found;
}
