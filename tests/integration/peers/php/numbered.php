<?php
// SPDX-License-Identifier: Apache-2.0
// Lines that say whose they are, in pieces.
$name = $_GET['name'];
header('Content-Type: text/plain');
header("X-Name: $name");
for ($n = 0; $n < (int) $_GET['lines']; $n++) {
    echo "$name:$n\n";
    if ($n % 50 == 49) {
        flush();
    }
}
