package permissions_test

import (
	"os"
	"strings"
	"testing"

	"github.com/pipesteward/pipesteward/actions/doctor/permissions"
)

// deploy/README.md has the table of permissions that the check uses.
func TestPermissionsAreDocumented(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../../../deploy/README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range permissions.Rows() {
		if !strings.Contains(string(readme), row+"\n") {
			t.Errorf("deploy/README.md lacks the row\n%s", row)
		}
	}
}
