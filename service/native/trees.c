/* Trees of numbers, through which several rows go side by side.

   What costs time in a walk of one row after the other is to wait for each node, and to guess wrongly at every
   other one which way it leads. Here the next node is worked out, not guessed, and while one row's is fetched the
   others' are compared. The two children of a node lie beside each other; a leaf is its own child, so that
   who has arrived stays. */
#include "kernels.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define TOGETHER 16 /* walks side by side */
#define BLOCK_ROWS 256 /* rows that stay in the nearest cache while tree after tree is walked */
#define MOST_FEATURES 16384 /* of which a block of rows may be copied */
#define MOST_OUTPUTS 65536

typedef struct {
    double limit; /* what is above it goes to the right */
    int32_t child;
    uint16_t feature;
    uint16_t gap; /* 1: gaps go to the right */
} Node;

typedef struct {
    int32_t root, levels;
    int32_t output; /* the first one that its values are added to */
} Tree;

/* The arrays are numpy's, which may be on pages that processes have in common. */
typedef struct {
    PyObject_HEAD
    Py_buffer held[3];
    const Node *nodes;
    const double *values; /* (nodes, width) */
    const Tree *trees;
    Py_ssize_t count, features, width, outputs;
    int narrow; /* rows are compared as float32 */
    int single; /* sums are of float32 */
} Trees;

/* ---- making one */

/* Whether every node leads to nodes behind it or is a leaf, and none asks for a feature that is not there. */
static int is_sound(const Trees *self, Py_ssize_t nodes) {
    for (Py_ssize_t at = 0; at < nodes; at++) {
        const Node *node = &self->nodes[at];
        int leaf = node->child == at;
        if (!leaf && (node->child <= at || node->child >= nodes - 1)) return 0;
        if (leaf && (node->gap || node->limit != HUGE_VAL)) return 0;
        if (node->feature >= self->features || node->gap > 1) return 0;
    }
    for (const Tree *tree = self->trees; tree < self->trees + self->count; tree++) {
        if (tree->root < 0 || tree->root >= nodes || tree->levels < 0) return 0;
        if (tree->output < 0 || tree->output > self->outputs - self->width) return 0;
    }
    return 1;
}

static int take_arrays(Trees *self) {
    Py_ssize_t nodes = self->held[0].len / (Py_ssize_t)sizeof(Node);
    self->nodes = self->held[0].buf;
    self->values = self->held[1].buf;
    self->trees = self->held[2].buf;
    self->count = self->held[2].len / (Py_ssize_t)sizeof(Tree);
    return self->features >= 1 && self->features <= MOST_FEATURES && self->width >= 1 && nodes <= INT32_MAX &&
           self->outputs >= self->width && self->outputs <= MOST_OUTPUTS &&
           self->held[0].len == nodes * (Py_ssize_t)sizeof(Node) &&
           self->held[1].len == nodes * self->width * (Py_ssize_t)sizeof(double) &&
           self->held[2].len == self->count * (Py_ssize_t)sizeof(Tree) && is_sound(self, nodes);
}

static PyObject *trees_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords) {
    Trees *self = (Trees *)((allocfunc)PyType_GetSlot(type, Py_tp_alloc))(type, 0);
    (void)keywords;
    if (self == NULL) return NULL;
    if (!PyArg_ParseTuple(arguments, "y*y*y*nnnpp:Trees", &self->held[0], &self->held[1], &self->held[2],
                          &self->features, &self->width, &self->outputs, &self->narrow, &self->single)) {
        memset(self->held, 0, sizeof self->held); /* let go already */
    } else if (take_arrays(self)) {
        return (PyObject *)self;
    } else {
        PyErr_SetString(PyExc_ValueError, "some node leads nowhere, or the arrays do not fit together");
    }
    Py_DECREF(self);
    return NULL;
}

static void trees_free(Trees *self) {
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    for (int each = 0; each < 3; each++) PyBuffer_Release(&self->held[each]);
    ((freefunc)PyType_GetSlot(type, Py_tp_free))(self);
    Py_DECREF(type);
}

/* ---- walking */

/* From `at` to leaves, each walk with the row of its own. */
static inline void walk(const Node *nodes, const double *const *rows, int32_t *at, int32_t levels, int gaps) {
    for (int32_t level = 0; level < levels; level++) {
        for (int each = 0; each < TOGETHER; each++) {
            const Node *node = &nodes[at[each]];
            double cell = rows[each][node->feature];
            int right = cell > node->limit;
            if (gaps) right |= node->gap & (cell != cell);
            at[each] = node->child + right;
        }
    }
}

static inline void walk_all(const Trees *self, const double *const *rows, int32_t *at, int32_t levels, int gaps) {
    if (gaps) walk(self->nodes, rows, at, levels, 1);
    else walk(self->nodes, rows, at, levels, 0);
}

static inline void add_leaf(const Trees *self, const Tree *tree, int32_t leaf, double *totals) {
    const double *values = self->values + leaf * self->width;
    double *total = totals + tree->output;
    for (Py_ssize_t at = 0; at < self->width; at++) {
        total[at] += values[at];
        if (self->single) total[at] = (float)total[at];
    }
}

/* Tree by tree; the last few rows of a block go along as often as it takes to fill up the walks. */
static void add_block(const Trees *self, const double *rows, Py_ssize_t count, double *totals, int gaps) {
    for (const Tree *tree = self->trees; tree < self->trees + self->count; tree++) {
        for (Py_ssize_t start = 0; start < count; start += TOGETHER) {
            const double *own[TOGETHER];
            int32_t at[TOGETHER];
            Py_ssize_t here = count - start < TOGETHER ? count - start : TOGETHER;
            for (Py_ssize_t each = 0; each < TOGETHER; each++) {
                own[each] = rows + (start + (each < here ? each : 0)) * self->features;
                at[each] = tree->root;
            }
            walk_all(self, own, at, tree->levels, gaps);
            for (Py_ssize_t each = 0; each < here; each++)
                add_leaf(self, tree, at[each], totals + (start + each) * self->outputs);
        }
    }
}

/* One row through several trees at a time; what they hold is added in the order of the trees. */
static void add_row(const Trees *self, const double *row, double *totals, int gaps) {
    const double *own[TOGETHER];
    for (int each = 0; each < TOGETHER; each++) own[each] = row;
    for (Py_ssize_t start = 0; start < self->count; start += TOGETHER) {
        int32_t at[TOGETHER], levels = 0;
        Py_ssize_t here = self->count - start < TOGETHER ? self->count - start : TOGETHER;
        for (Py_ssize_t each = 0; each < TOGETHER; each++) {
            const Tree *tree = &self->trees[start + (each < here ? each : 0)];
            at[each] = tree->root;
            if (tree->levels > levels) levels = tree->levels;
        }
        walk_all(self, own, at, levels, gaps);
        for (Py_ssize_t each = 0; each < here; each++)
            add_leaf(self, &self->trees[start + each], at[each], totals);
    }
}

/* A copy, as it is compared; whether there are gaps. */
static int copy_rows(const Trees *self, const double *rows, Py_ssize_t count, double *copy) {
    int gaps = 0;
    for (Py_ssize_t at = 0; at < count; at++) {
        copy[at] = self->narrow ? (double)(float)rows[at] : rows[at];
        gaps |= rows[at] != rows[at];
    }
    return gaps;
}

static int add_all(const Trees *self, const double *rows, Py_ssize_t count, double *totals) {
    Py_ssize_t most = count < BLOCK_ROWS ? count : BLOCK_ROWS;
    double *block = PyMem_Malloc((size_t)(most * self->features + 1) * sizeof(double));
    if (block == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    for (Py_ssize_t start = 0; start < count; start += most) {
        Py_ssize_t here = count - start < most ? count - start : most;
        double *total = totals + start * self->outputs;
        int gaps = copy_rows(self, rows + start * self->features, here * self->features, block);
        if (here >= TOGETHER) add_block(self, block, here, total, gaps);
        else
            for (Py_ssize_t row = 0; row < here; row++)
                add_row(self, block + row * self->features, total + row * self->outputs, gaps);
    }
    PyMem_Free(block);
    return 0;
}

static PyObject *trees_add(Trees *self, PyObject *arguments) {
    Py_buffer rows, totals;
    Py_ssize_t count;
    if (!PyArg_ParseTuple(arguments, "y*w*:add", &rows, &totals)) return NULL;
    count = rows.len / (self->features * (Py_ssize_t)sizeof(double));
    if (rows.len != count * self->features * (Py_ssize_t)sizeof(double) ||
        totals.len != count * self->outputs * (Py_ssize_t)sizeof(double))
        PyErr_SetString(PyExc_ValueError, "the rows are not those of these trees, or the sums not of the rows");
    else
        add_all(self, rows.buf, count, totals.buf);
    PyBuffer_Release(&rows);
    PyBuffer_Release(&totals);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {{"add", (PyCFunction)trees_add, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_new, trees_new}, {Py_tp_dealloc, trees_free}, {Py_tp_methods, methods}, {0, NULL}};

PyType_Spec trees_spec = {
    .name = "service.native._kernels.Trees", .basicsize = sizeof(Trees), .flags = Py_TPFLAGS_DEFAULT, .slots = slots};
