// train CONFIG DATA OUT: trains a model on a folder of `lookback prepare`, and prints the loss of each step.
#include <lookback/lookback.h>

#include <cstdio>
#include <iostream>

int main(int argc, char** argv) try {
  if (argc != 4) throw lookback::Error("usage: train CONFIG DATA OUT");
  lookback::TrainingRun run;
  run.config = argv[1];
  run.data = argv[2];
  run.out = argv[3];
  run.on_step = [](const lookback::StepMetrics& step) {
    std::printf("step %lld: loss %.9g\n", static_cast<long long>(step.step), step.loss);
  };
  const lookback::TrainResult result = lookback::train(run);
  std::printf("%lld steps, %lld tokens, best step %lld\n", static_cast<long long>(result.steps),
              static_cast<long long>(result.tokens), static_cast<long long>(result.best_step));
  return 0;
} catch (const lookback::Error& error) {
  std::cerr << "train: " << error.what() << "\n";
  return 1;
}
