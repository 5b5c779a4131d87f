<?php
// SPDX-License-Identifier: Apache-2.0
// An ErrorDocument.
header('Content-Type: application/json');
echo json_encode(array_map(fn($value) => base64_encode((string) $value),
                           array_filter($_SERVER, fn($value) => is_string($value))));
