<?php
// SPDX-License-Identifier: Apache-2.0
// All that PHP knows of the request, byte by byte.
header('Content-Type: application/json');
$text = fn($value) => base64_encode(is_array($value) ? json_encode($value) : (string) $value);
echo json_encode(array_map($text, $_SERVER));
