//go:build !race

package cel

const raced = false
