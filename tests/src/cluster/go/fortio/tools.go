//go:build tools

// Package tools pins the load generator and echo server of benches and tests.
package tools

import _ "fortio.org/fortio"
