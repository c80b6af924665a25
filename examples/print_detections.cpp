// Print each detection: its label, its score, and its box in pixels of the image.
//
// cmake -S examples -B build/examples && cmake --build build/examples
// build/examples/print_detections --ros-args -r __ns:=/left    # the detector in the namespace /left

#include <cstdio>
#include <map>
#include <memory>
#include <string>

#include <rclcpp/rclcpp.hpp>
#include <vision_msgs/msg/detection2_d_array.hpp>
#include <vision_msgs/msg/label_info.hpp>

using vision_msgs::msg::Detection2DArray;
using vision_msgs::msg::LabelInfo;

class PrintDetections : public rclcpp::Node {
 public:
  PrintDetections() : Node("print_detections") {
    // The detector publishes label_info once; transient local gets the last message also after that.
    const auto latched = rclcpp::QoS(1).transient_local();
    label_info_ = create_subscription<LabelInfo>(
        "label_info", latched, [this](const LabelInfo& message) { on_label_info(message); });
    detections_ = create_subscription<Detection2DArray>(
        "detections", 10, [this](const Detection2DArray& message) { on_detections(message); });
  }

 private:
  void on_label_info(const LabelInfo& message) {
    names_.clear();
    for (const auto& entry : message.class_map) names_[std::to_string(entry.class_id)] = entry.class_name;
  }

  void on_detections(const Detection2DArray& message) {
    for (const auto& detection : message.detections) {
      const auto& best = detection.results[0].hypothesis;  // the node reports one hypothesis per box
      const auto name = names_.find(best.class_id);        // class_id_format: id, or name
      const auto& label = name == names_.end() ? best.class_id : name->second;
      const auto& centre = detection.bbox.center.position;
      const double width = detection.bbox.size_x, height = detection.bbox.size_y;
      std::printf("%s %.2f left %.0f top %.0f width %.0f height %.0f\n", label.c_str(), best.score,
                  centre.x - width / 2, centre.y - height / 2, width, height);
    }
    std::fflush(stdout);
  }

  std::map<std::string, std::string> names_;
  rclcpp::Subscription<LabelInfo>::SharedPtr label_info_;
  rclcpp::Subscription<Detection2DArray>::SharedPtr detections_;
};

int main(int argc, char** argv) {
  rclcpp::init(argc, argv);
  rclcpp::spin(std::make_shared<PrintDetections>());
  rclcpp::shutdown();
}
