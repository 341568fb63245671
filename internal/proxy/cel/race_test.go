//go:build race

package cel

// raced: the race detector makes pools forget.
const raced = true
