<?php
// SPDX-License-Identifier: Apache-2.0
// Speaks until nobody listens, and tells the file that it was noticed.
ignore_user_abort(true);
header('Content-Type: text/plain');
for ($n = 0; $n < 3000; $n++) {
    echo str_repeat('a', 1000), "\n";
    flush();
    if (connection_aborted()) {
        file_put_contents($_GET['mark'], 'noticed');
        exit;
    }
    usleep(10000);
}
file_put_contents($_GET['mark'], 'never');
