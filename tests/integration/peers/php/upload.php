<?php
// SPDX-License-Identifier: Apache-2.0
// What of a body arrived: by php://input, as form fields and as files.
header('Content-Type: application/json');
$digest = hash_init('sha256');
$length = 0;
$input = fopen('php://input', 'rb');
while (!feof($input)) {
    $piece = fread($input, 65536);
    $length += strlen($piece);
    hash_update($digest, $piece);
}
$files = [];
foreach ($_FILES as $name => $file) {
    $files[$name] = [$file['name'], $file['error'], $file['size'],
                     $file['error'] ? '' : hash_file('sha256', $file['tmp_name'])];
}
echo json_encode(['method' => $_SERVER['REQUEST_METHOD'], 'length' => $length, 'sha256' => hash_final($digest),
                  'told' => $_SERVER['CONTENT_LENGTH'] ?? null, 'coding' => $_SERVER['HTTP_TRANSFER_ENCODING'] ?? null,
                  'post' => $_POST, 'files' => $files]);
