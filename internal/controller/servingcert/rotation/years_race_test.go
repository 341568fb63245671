//go:build race

package rotation

// years are fewer with the race detector, which makes each take ten times as long: nothing here is concurrent.
const years = 12
