//go:build !race

package await

const raced = false
