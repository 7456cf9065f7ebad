/* The module _kernels: see service/native/__init__.py for what it is, and the stub beside it for its functions. */
#include "kernels.h"
#include "numbers.h"

uint64_t powers_of_five[POWERS][2];

const double exact_powers[EXACT_POWERS] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
                                           1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};

int read_slowly(const char *start, const char *end, double *number) {
    char few[64], *text = few;
    size_t size = (size_t)(end - start);
    double found;
    if (size >= sizeof few && (text = PyMem_Malloc(size + 1)) == NULL) return 0;
    memcpy(text, start, size);
    text[size] = 0;
    found = PyOS_string_to_double(text, NULL, NULL);
    if (text != few) PyMem_Free(text);
    if (PyErr_Occurred()) {
        PyErr_Clear();
        return 0;
    }
    *number = found;
    return Py_IS_FINITE(found);
}

static PyObject *know_powers(PyObject *module, PyObject *given) {
    Py_ssize_t count = 0;
    (void)module;
    if (!PySequence_Check(given) || (count = PySequence_Size(given)) != 2 * POWERS) {
        if (!PyErr_Occurred()) PyErr_Format(PyExc_ValueError, "%zd words are not those of %d powers", count, POWERS);
        return NULL;
    }
    for (Py_ssize_t place = 0; place < count; place++) {
        PyObject *word = PySequence_GetItem(given, place);
        if (word == NULL) return NULL;
        powers_of_five[place / 2][place % 2] = PyLong_AsUnsignedLongLong(word);
        Py_DECREF(word);
        if (PyErr_Occurred()) return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"know_powers", know_powers, METH_O, NULL},
    {"lay_beside", lay_beside, METH_VARARGS, NULL},
    {"look_over", look_over, METH_O, NULL},
    {"read_rows", read_rows, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static int fill(PyObject *module) {
    PyType_Spec *specs[] = {&columns_spec, &trees_spec};
    const char *names[] = {"Columns", "Trees"};
    for (int place = 0; place < 2; place++) {
        PyObject *type = PyType_FromSpec(specs[place]);
        if (type == NULL || PyModule_AddObjectRef(module, names[place], type) < 0) {
            Py_XDECREF(type);
            return -1;
        }
        Py_DECREF(type);
    }
    return PyModule_AddIntConstant(module, "LEAST_POWER", LEAST_POWER) ||
           PyModule_AddIntConstant(module, "MOST_POWER", MOST_POWER) ||
           PyModule_AddIntConstant(module, "MOST_COLUMNS", MOST_COLUMNS);
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill}, {0, NULL}};

static PyModuleDef definition = {
    .m_base = PyModuleDef_HEAD_INIT, .m_name = "_kernels", .m_methods = functions, .m_slots = slots};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModuleDef_Init(&definition); }
