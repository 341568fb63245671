//go:build !race

package rotation

// years are what the simulation lives through.
const years = 50
