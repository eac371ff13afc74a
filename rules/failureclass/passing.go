package failureclass

import (
	"embed"
	"fmt"
	"io/fs"
	"sync"

	"go.yaml.in/yaml/v4"
)

//go:embed passing
var passing embed.FS

// PassingLog is the log of a job that passed, or its script's part. No class may match it.
type PassingLog struct {
	Name string `yaml:"name"`
	// NoiseLast means that its last line is what a command prints when it gives up, too.
	NoiseLast bool   `yaml:"noise_last"`
	Log       string `yaml:"log"`
}

// PassingLogs returns the logs of jobs that passed with which the packs are tested.
var PassingLogs = sync.OnceValues(func() ([]PassingLog, error) {
	file, err := passing.ReadFile("passing/logs.yaml")
	if err != nil {
		return nil, err
	}
	var all []PassingLog
	if err := yaml.Load(file, &all, yaml.WithKnownFields()); err != nil {
		return nil, fmt.Errorf("logs of jobs that passed: %w", err)
	}
	names, err := fs.Glob(passing, "passing/*.log")
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		log, err := passing.ReadFile(name)
		if err != nil {
			return nil, err
		}
		all = append(all, PassingLog{Name: name, Log: string(log)})
	}
	return all, nil
})
