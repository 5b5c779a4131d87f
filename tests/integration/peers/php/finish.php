<?php
// SPDX-License-Identifier: Apache-2.0
// Goes on after the client has got everything. The file that is there then is the test's sign.
header('Content-Type: text/plain');
echo 'done';
fastcgi_finish_request();
for ($n = 0; $n < 1000 && !file_exists($_GET['wait']); $n++) {
    usleep(10000);
    clearstatcache();
}
file_put_contents($_GET['mark'], 'went on');
