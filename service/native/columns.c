/* Rows of words, gaps and numbers, as CSV, to rows of numbers: words to what they stand for. */
#include "kernels.h"
#include "numbers.h"

#define MOST_WORDS (1 << 24)
#define WORD_BYTES 8

typedef struct {
    uint64_t key; /* the first eight bytes, zeros behind the end */
    Py_ssize_t size;
    Py_ssize_t start; /* in `text` of its column */
    double value;
    char used, refused;
} Word;

typedef struct {
    Word *slots; /* as many as `mask` + 1; a word is in the first free one from its own */
    uint64_t mask;
    char *text;
    double other, most;
    char has_other, numbers, bounded;
} Column;

typedef struct {
    PyObject_HEAD
    Py_ssize_t count;
    Column *columns;
} Columns;

static uint64_t key_of(const char *start, Py_ssize_t size, const char *end) {
    uint64_t key = 0;
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    if (end - start >= WORD_BYTES) {
        memcpy(&key, start, WORD_BYTES);
        return size >= WORD_BYTES ? key : key & (((uint64_t)1 << 8 * size) - 1);
    }
#else
    (void)end;
#endif
    for (Py_ssize_t at = 0; at < size && at < WORD_BYTES; at++) key |= (uint64_t)(unsigned char)start[at] << 8 * at;
    return key;
}

/* Spread over all bits; words of more than eight bytes that begin alike are told apart by their end. */
static uint64_t mixed(uint64_t key, const char *start, Py_ssize_t size) {
    uint64_t hash = (key ^ (uint64_t)size) * 0x9E3779B97F4A7C15u;
    for (Py_ssize_t at = WORD_BYTES; at < size; at++) hash = (hash ^ (unsigned char)start[at]) * 0x100000001B3u;
    return hash ^ hash >> 32;
}

static Word *find_word(const Column *column, uint64_t key, const char *start, Py_ssize_t size) {
    uint64_t slot = mixed(key, start, size) & column->mask;
    for (;; slot = (slot + 1) & column->mask) {
        Word *word = &column->slots[slot];
        if (!word->used) return word;
        if (word->key == key && word->size == size &&
            (size <= WORD_BYTES || memcmp(column->text + word->start, start, (size_t)size) == 0))
            return word;
    }
}

/* ---- making one */

static int add_word(Column *column, PyObject *spelling, PyObject *value, Py_ssize_t *used) {
    char *start;
    Py_ssize_t size;
    Word *word;
    uint64_t key;
    if (PyBytes_AsStringAndSize(spelling, &start, &size) < 0) return -1;
    key = key_of(start, size, start + size);
    word = find_word(column, key, start, size);
    memcpy(column->text + *used, start, (size_t)size);
    *word = (Word){.key = key, .size = size, .start = *used, .used = 1, .refused = value == Py_None};
    *used += size;
    if (value != Py_None) word->value = PyFloat_AsDouble(value);
    return PyErr_Occurred() ? -1 : 0;
}

static int add_words(Column *column, PyObject *words) {
    Py_ssize_t count = PyDict_Size(words), place = 0, bytes = 1, used = 0;
    PyObject *spelling, *value;
    uint64_t slots = 8;
    if (count < 0) return -1;
    if (count > MOST_WORDS) {
        PyErr_SetString(PyExc_ValueError, "a column has too many words");
        return -1;
    }
    while (slots < 3 * (uint64_t)count) slots *= 2;
    while (PyDict_Next(words, &place, &spelling, &value)) {
        Py_ssize_t size = PyBytes_Size(spelling);
        if (size < 0) return -1;
        bytes += size;
    }
    column->mask = slots - 1;
    column->slots = PyMem_Calloc(slots, sizeof(Word));
    column->text = PyMem_Calloc((size_t)bytes, 1);
    if (column->slots == NULL || column->text == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (place = 0; PyDict_Next(words, &place, &spelling, &value);)
        if (add_word(column, spelling, value, &used) < 0) return -1;
    return 0;
}

static int fill_column(Column *column, PyObject *kind) {
    PyObject *words, *other;
    int numbers;
    if (!PyTuple_Check(kind)) {
        PyErr_SetString(PyExc_TypeError, "a kind is a tuple");
        return -1;
    }
    if (!PyArg_ParseTuple(kind, "O!Opd", &PyDict_Type, &words, &other, &numbers, &column->most)) return -1;
    column->numbers = (char)numbers;
    column->bounded = column->most < Py_HUGE_VAL;
    column->has_other = other != Py_None;
    if (column->has_other) column->other = PyFloat_AsDouble(other);
    return PyErr_Occurred() ? -1 : add_words(column, words);
}

static PyObject *columns_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    PyObject *kinds;
    Py_ssize_t count;
    Columns *self;
    (void)keywords;
    if (!PyArg_ParseTuple(arguments, "O!:Columns", &PyTuple_Type, &kinds)) return NULL;
    count = PyTuple_Size(kinds);
    if (count < 1 || count > MOST_COLUMNS) {
        PyErr_SetString(PyExc_ValueError, "there are no columns, or too many");
        return NULL;
    }
    self = (Columns *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    if (self == NULL) return NULL;
    self->columns = PyMem_Calloc((size_t)count, sizeof(Column));
    if (self->columns == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    self->count = count;
    for (Py_ssize_t place = 0; place < count; place++) {
        if (fill_column(&self->columns[place], PyTuple_GetItem(kinds, place)) < 0) {
            Py_DECREF(self);
            return NULL;
        }
    }
    return (PyObject *)self;
}

static void columns_free(Columns *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (Py_ssize_t place = 0; place < self->count; place++) {
        PyMem_Free(self->columns[place].slots);
        PyMem_Free(self->columns[place].text);
    }
    PyMem_Free(self->columns);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* ---- reading */

/* Where a cell ends that is no number: at its separator. `*start` and `*stop` go around what it says. NULL
   where quotes are not simply around it. */
static const char *end_of_cell(const char **start, const char **stop, const char *end) {
    const char *at = *start;
    if (at < end && *at == '"') {
        *start = ++at;
        at = memchr(at, '"', (size_t)(end - at));
        if (at == NULL) return NULL;
        *stop = at++;
        return at == end || *at == ',' || *at == '\n' ? at : NULL;
    }
    while (at < end && *at != ',' && *at != '\n')
        if (*at++ == '"') return NULL;
    *stop = at;
    return at;
}

static int look_up(const Column *column, const char *start, const char *stop, const char *end, double *number) {
    const Word *word = find_word(column, key_of(start, stop - start, end), start, stop - start);
    if (word->refused || (!word->used && !column->has_other)) return 0;
    *number = word->used ? word->value : column->other;
    return 1;
}

#ifdef EIGHT_AT_ONCE
#define ALL_BYTES 0x0101010101010101u
#define HIGH_BITS 0x8080808080808080u

/* The highest bit of the first byte that is the wanted one; later ones may be marked wrongly. */
static inline uint64_t marked(uint64_t word, unsigned char wanted) {
    uint64_t others = word ^ ALL_BYTES * wanted;
    return (others - ALL_BYTES) & ~others & HIGH_BITS;
}

/* A word of less than eight bytes without quotes; NULL where it is not that simple, or not known. */
static inline const char *code_short(const Column *column, const char *at, double *number) {
    uint64_t bytes, ends;
    const Word *word;
    int size;
    memcpy(&bytes, at, sizeof bytes);
    ends = marked(bytes, ',') | marked(bytes, '\n') | marked(bytes, '"');
    if (ends == 0) return NULL;
    size = __builtin_ctzll(ends) >> 3;
    if (at[size] == '"') return NULL;
    word = find_word(column, bytes & (((uint64_t)1 << 8 * size) - 1), at, size);
    if (!word->used || word->refused) return NULL;
    *number = word->value;
    return at + size;
}
#endif

/* Reads one cell; returns where it ends, or NULL where only the strict reader knows. */
static const char *code_cell(const Column *column, const char *at, const char *end, double *number) {
    const char *start = at, *stop, *behind;
    int quoted = at < end && *at == '"';
    start += quoted;
    if (column->numbers && start < end && (is_digit(*start) || *start == '-')) {
        at = read_number(start, end, number);
        if (at == NULL || (column->bounded && !(*number <= column->most && *number >= -column->most))) return NULL;
        if (*start == '-' && start[1] == '0' && at - start == 2) return NULL; /* of integers -0 is 0, of others not */
        if (quoted && (at == end || *at++ != '"')) return NULL;
        return at == end || *at == ',' || *at == '\n' ? at : NULL;
    }
#ifdef EIGHT_AT_ONCE
    if (end - at >= WORD_BYTES && (behind = code_short(column, at, number)) != NULL) return behind;
#endif
    start = at;
    behind = end_of_cell(&start, &stop, end);
    return behind != NULL && look_up(column, start, stop, end, number) ? behind : NULL;
}

/* Column after column, each with room for `most` rows. Returns how many rows there are; 0 where only the strict
   reader knows. Lines may end within quotes. */
static Py_ssize_t code_rows(const Columns *self, const char *at, const char *end, double *numbers, Py_ssize_t most) {
    for (Py_ssize_t row = 0; row < most; row++) {
        for (Py_ssize_t column = 0; column < self->count; column++) {
            at = code_cell(&self->columns[column], at, end, numbers + column * most + row);
            if (at == NULL || (at == end || *at == '\n') != (column == self->count - 1)) return 0;
            at++;
        }
        if (at > end) return row + 1;
    }
    return 0;
}

static PyObject *columns_read(Columns *self, PyObject *body) {
    PyObject *numbers;
    char *start;
    const char *end;
    Py_ssize_t size, found, rows = 1;
    if (PyBytes_AsStringAndSize(body, &start, &size) < 0) return NULL;
    end = start + size;
    for (const char *at = start; at < end; at++) rows += *at == '\n';
    /* Behind every cell but the last stands a separator, so that room is made for no more than there can be. */
    if (rows > (size + 1) / self->count) rows = (size + 1) / self->count;
    if (size == 0 || rows == 0) Py_RETURN_NONE;
    for (;; rows = found) {
        numbers = PyByteArray_FromStringAndSize(NULL, rows * self->count * (Py_ssize_t)sizeof(double));
        if (numbers == NULL) return NULL;
        found = code_rows(self, start, end, (double *)PyByteArray_AsString(numbers), rows);
        if (found == rows) return numbers;
        Py_DECREF(numbers);
        if (found == 0) Py_RETURN_NONE;
    }
}

static PyMethodDef methods[] = {{"read", (PyCFunction)columns_read, METH_O, NULL}, {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_new, columns_new}, {Py_tp_dealloc, columns_free}, {Py_tp_methods, methods}, {0, NULL}};

PyType_Spec columns_spec = {.name = "service.native._kernels.Columns",
                            .basicsize = sizeof(Columns),
                            .flags = Py_TPFLAGS_DEFAULT,
                            .slots = slots};
