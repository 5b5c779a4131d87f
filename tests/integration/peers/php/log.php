<?php
// SPDX-License-Identifier: Apache-2.0
// Writes lines for the error log, with or without output between them.
header('Content-Type: text/plain');
for ($n = 1; $n <= (int) $_GET['lines']; $n++) {
    error_log("line $n of many");
    if (isset($_GET['between'])) {
        echo "out $n\n";
        flush();
    }
}
echo "end\n";
