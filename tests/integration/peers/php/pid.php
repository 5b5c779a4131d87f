<?php
// SPDX-License-Identifier: Apache-2.0
// Which process this is, after a while.
header('Content-Type: text/plain');
usleep(1000 * (int) ($_GET['ms'] ?? 0));
echo getmypid();
