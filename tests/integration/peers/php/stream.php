<?php
// SPDX-License-Identifier: Apache-2.0
// Says something each tenth of a second.
header('Content-Type: text/event-stream');
for ($n = 1; $n <= (int) ($_GET['count'] ?? 5); $n++) {
    echo "data: $n\n\n";
    flush();
    usleep(100000);
}
