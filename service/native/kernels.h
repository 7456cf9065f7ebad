/* What the parts of the module share. All of it holds the interpreter's lock while it works. */
#ifndef SAGEBIRD_KERNELS_H
#define SAGEBIRD_KERNELS_H

#include <Python.h>

#define LOCAL __attribute__((visibility("hidden")))

#define MOST_COLUMNS 100000

LOCAL PyObject *lay_beside(PyObject *module, PyObject *arguments);
LOCAL PyObject *look_over(PyObject *module, PyObject *given);
LOCAL PyObject *read_rows(PyObject *module, PyObject *arguments);
LOCAL extern PyType_Spec columns_spec;
LOCAL extern PyType_Spec trees_spec;

#endif
