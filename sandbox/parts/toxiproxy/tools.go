//go:build tools

// Package tools pins the commands that are built from this module.
package tools

import _ "github.com/Shopify/toxiproxy/v2/cmd/server"
