<?php
// SPDX-License-Identifier: Apache-2.0
// Answers in one of the ways that PHP scripts do.
function fields_then($text, ...$fields) {
    foreach ($fields as $field) {
        header($field, false);
    }
    echo $text;
}
switch ($_GET['how'] ?? '') {
    case 'status': http_response_code((int) $_GET['code']); header('Content-Type: text/plain'); break;
    case 'status-text': header('Status: 418 I am a teapot'); echo 'tea'; break;
    case 'location': header('Location: https://elsewhere.example/x'); break;
    case 'location-301': header('Location: https://elsewhere.example/x', true, 301); break;
    case 'local': header('Location: /vars.php/behind?redirected'); break;
    case 'cookies': fields_then('cookies', ...array_map(fn($n) => "Set-Cookie: c$n=$n; path=/", range(1, 60))); break;
    case 'nothing': break;
    case 'text': header('Content-Type: text/plain'); echo 'hello'; break;
    case 'gzip':
        $body = gzencode(str_repeat('hello ', 1000));
        header('Content-Type: text/plain');
        header('Content-Encoding: gzip');
        header('Content-Length: ' . strlen($body));
        echo $body;
        break;
    case 'large':
        header('Content-Type: application/octet-stream');
        for ($n = (int) $_GET['mib']; $n > 0; $n--) {
            echo str_repeat(chr(64 + $n % 64), 1048576);
        }
        break;
    case 'length':
        header('Content-Length: ' . (int) $_GET['bytes']);
        echo str_repeat('x', (int) $_GET['bytes']);
        break;
    case 'head':
        for ($n = (int) $_GET['kib']; $n > 0; $n--) {
            header("X-Large-$n: " . str_repeat('h', 1000));
        }
        echo 'large head';
        break;
    case 'field': header('X-Large: ' . str_repeat('h', 1024 * (int) $_GET['kib'])); break;
    case 'fatal': function_that_is_not_there(); break;
    case 'fatal-late': echo str_repeat('.', 70000); flush(); function_that_is_not_there(); break;
    case 'time': set_time_limit(1); for (;;) { hash('sha256', 'busy'); } break;
    case 'exit': echo 'before'; exit((int) $_GET['code']);
    case 'exit-text': exit('the last words');
    case 'echo-fields':
        header('Content-Type: application/json');
        echo json_encode(array_map('strlen', getallheaders()));
        break;
    case 'pid': echo getmypid(); break;
    case 'sleep': usleep(1000 * (int) $_GET['ms']); echo 'slept'; break;
    case 'wait':
        file_put_contents($_GET['mark'], getmypid());
        for ($n = 0; $n < 1000 && !file_exists($_GET['for']); $n++) {
            usleep(10000);
            clearstatcache();
        }
        echo 'waited';
        break;
}
