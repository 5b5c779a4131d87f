/* SPDX-License-Identifier: Apache-2.0 */
/* What mod_status's page says of the loops. Layer: glue. */
#ifndef MOD_UDSROUTE_STATUS_H
#define MOD_UDSROUTE_STATUS_H

/* Registers mod_status's hook; without mod_status nobody calls it. */
void udr_status_register(void);

#endif
