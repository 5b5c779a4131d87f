/* SPDX-License-Identifier: Apache-2.0 */
/* Small plots: values in equal steps as the path of an SVG. Layer: core, bottom. Used by the status page. */
#ifndef UDR_PLOT_H
#define UDR_PLOT_H

#include <apr_pools.h>

/* Each value is a step one unit wide, from x = 0 on; 0 is at y = height, top at y = 0. */
typedef struct udr_plot_t {
    const double *values; /* below 0: unknown, which leaves a gap */
    apr_size_t count;
    double top; /* above 0; what is over it is drawn as it */
    unsigned int height;
} udr_plot_t;

typedef enum udr_plot_form_t {
    UDR_PLOT_LINE, /* along the steps */
    UDR_PLOT_AREA  /* closed at the bottom, to be filled */
} udr_plot_form_t;

/* The attribute `d` of a path, from p; "" when no value is known. */
const char *udr_plot_path(const udr_plot_t *plot, udr_plot_form_t form, apr_pool_t *p);

#endif
